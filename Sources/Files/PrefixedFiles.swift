import Foundation

/// The files whose paths begin with a prefix, such as the snapshots that a run keeps beside its output.
public struct PrefixedFiles: Sendable {
  private let prefix: String

  /// - Parameter prefix: a folder's path and the beginning of a file's name.
  public init(_ prefix: String) { self.prefix = prefix }

  /// Their paths, in no order.
  public var paths: [String] {
    let slash = prefix.lastIndex(of: "/")
    let folder = slash.map { $0 == prefix.startIndex ? "/" : String(prefix[..<$0]) } ?? "."
    let stem = slash.map { String(prefix[prefix.index(after: $0)...]) } ?? prefix
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasPrefix(stem) }.map {
      prefix.dropLast(stem.count) + $0
    }
  }

  /// Removes all of them except `kept`.
  public func remove(except kept: Set<String> = []) {
    for path in paths where !kept.contains(path) { unlink(path) }
  }
}
