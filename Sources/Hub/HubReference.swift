/// A model on the hub: `hf:ORG/NAME[@REVISION][/FILE]`.
public struct HubReference: Hashable, Sendable, CustomStringConvertible {
  /// The beginning of every reference.
  public static let prefix = "hf:"

  /// `ORG/NAME`
  public let repository: String
  /// A branch, tag, commit or `refs/pr/N`.
  public let revision: String
  /// A file of the repository, such as one GGUF of many; nil for the whole model.
  public let file: String?
  private let namesRevision: Bool

  /// Whether a text begins as a reference does.
  public static func isReference(_ text: String) -> Bool { text.hasPrefix(prefix) }

  /// - Throws: ``HubError/badReference(_:)``
  public init(_ text: String) throws(HubError) {
    guard Self.isReference(text) else { throw .badReference(text) }
    var parts = text.dropFirst(Self.prefix.count).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count >= 2 else { throw .badReference(text) }
    let organization = parts.removeFirst()
    let named = parts.removeFirst().split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    repository = "\(organization)/\(named[0])"
    var revision = named.count > 1 ? String(named[1]) : "main"
    // refs/pr/12
    if revision == "refs", parts.count >= 2 { revision += "/\(parts.removeFirst())/\(parts.removeFirst())" }
    self.revision = revision
    namesRevision = named.count > 1
    while parts.last?.isEmpty == true { parts.removeLast() }
    file = parts.isEmpty ? nil : parts.joined(separator: "/")
    let names = [organization, named[0]] + revision.split(separator: "/", omittingEmptySubsequences: false) + parts
    guard names.allSatisfy(Self.isName) else { throw .badReference(text) }
  }

  private static func isName(_ name: Substring) -> Bool {
    !name.isEmpty && name != "." && name != ".." && name.unicodeScalars.allSatisfy { $0.value > 32 && $0.value != 127 }
  }

  /// The name of the repository without its owner.
  public var name: String { String(repository.split(separator: "/")[1]) }

  /// The reference without a file.
  public var model: String { Self.prefix + repository + (namesRevision ? "@" + revision : "") }

  public var description: String { model + (file.map { "/" + $0 } ?? "") }
}
