import Foundation

/// The files of a repository at one commit. All later requests name the commit, so that a branch that moves does not mix
/// two versions.
struct HubListing: Sendable {
  /// A file, and the digest that the hub names for it.
  struct Entry: Sendable, Equatable {
    let path: String
    let size: Int
    /// SHA-1 of git's blob, for files in git.
    let blob: String?
    /// SHA-256, for files in large file storage.
    let sha256: String?
  }

  let commit: String
  let entries: [Entry]

  private struct Answer: Decodable {
    struct Sibling: Decodable {
      struct Large: Decodable {
        let sha256: String?
        let size: Int?
      }
      let rfilename: String
      let size: Int?
      let blobId: String?
      let lfs: Large?
    }
    let sha: String
    let siblings: [Sibling]
  }

  /// Bytes of an answer, at most.
  private static let limit = 64 << 20

  /// Asks the hub.
  ///
  /// - Throws: ``HubError``
  init(of reference: HubReference, from client: HubClient) throws(HubError) {
    guard HTTPConnection.isAvailable else { throw .noCurl(reference.model) }
    let revision = Self.escaped(reference.revision, alsoSlash: true)
    var address =
      "\(client.settings.endpoint)/api/models/\(Self.escaped(reference.repository))/revision/\(revision)?blobs=true"
    let body = Body()
    var (failures, hops) = (0, 0)
    while true {
      body.bytes = []
      let answer = client.get(address) { _, part in
        body.bytes += part
        return body.bytes.count <= Self.limit
      }
      if answer.status == 200, answer.fault == nil {
        client.count { $0.receivedBytes += body.bytes.count }
        self = try Self(body.bytes, reference)
        return
      }
      // A repository that was renamed.
      if (300..<400).contains(answer.status), hops < 3, let next = HubFile.target(of: answer, from: address) {
        hops += 1
        address = next
        continue
      }
      if let refusal = client.refusal(
        answer, reference.model, repository: reference.model, revision: reference.revision)
      {
        // Without a code, only the repository can be missing.
        if case .noFile = refusal { throw .noRepository(reference.model, hasToken: client.hasToken) }
        throw refusal
      }
      failures += 1
      try client.wait(reference.model, after: failures, answer)
    }
  }

  private final class Body { var bytes: [UInt8] = [] }

  private init(_ bytes: [UInt8], _ reference: HubReference) throws(HubError) {
    guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes)) else {
      throw .badAnswer(reference.model, reason: "the answer of the server is not the description of a repository")
    }
    guard answer.sha.count == 40, answer.sha.allSatisfy(\.isHexDigit) else {
      throw .badAnswer(reference.model, reason: "the hub names no commit")
    }
    commit = answer.sha
    var entries: [Entry] = []
    for sibling in answer.siblings {
      // Names become paths of this machine.
      let parts = sibling.rfilename.split(separator: "/", omittingEmptySubsequences: false)
      guard !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." || $0.contains("\0") }) else {
        throw .badAnswer(reference.model, reason: "the repository has a file of a forbidden name")
      }
      guard let size = sibling.lfs?.size ?? sibling.size, size >= 0 else { continue }
      entries.append(Entry(path: sibling.rfilename, size: size, blob: sibling.blobId, sha256: sibling.lfs?.sha256))
    }
    self.entries = entries.sorted { $0.path < $1.path }
  }

  /// Percent-encodes a path.
  static func escaped(_ text: String, alsoSlash: Bool = false) -> String {
    var allowed = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    if !alsoSlash { allowed.insert("/") }
    return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
  }
}
