import Files
import Foundation
import Synchronization

/// A file of a repository at a commit, from which ranges are fetched.
final class HubFile: Sendable {
  let entry: HubListing.Entry
  /// `hf:ORG/NAME/PATH`, for messages.
  let name: String
  private let reference: HubReference
  private let commit: String
  private let client: HubClient
  /// Whether the file is read from end to end, so that an answer may begin before the wanted bytes.
  private let isReadWhole: Bool
  private let state = Mutex(State())

  private struct State {
    /// Where redirects led; nil until a request succeeds, and when the address has expired.
    var address: String?
    /// The file's version (`ETag`) on each server, as in its first answer.
    var versions: [Origin: String] = [:]
  }

  /// Redirects that one request follows.
  private static let maximumHops = 5

  /// - Parameter isReadWhole: whether a server may send the file from the beginning where its rest is asked for, as some
  ///   do for small files.
  init(
    _ entry: HubListing.Entry, of reference: HubReference, commit: String, client: HubClient, isReadWhole: Bool = false
  ) {
    self.entry = entry
    self.isReadWhole = isReadWhole
    self.reference = reference
    self.commit = commit
    self.client = client
    name = "\(reference.model)/\(entry.path)"
  }

  private var resolveAddress: String {
    "\(client.settings.endpoint)/\(HubListing.escaped(reference.repository))/resolve/\(commit)/"
      + HubListing.escaped(entry.path)
  }

  /// Fills `buffer` with the bytes from `offset` on. Whatever came before a failure is kept.
  func fetch(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(HubError) {
    var done = 0
    var failures = 0
    while done < buffer.count {
      let wanted = offset + done..<offset + buffer.count
      let outcome = try request(wanted, into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
      done += outcome.count
      client.count { $0.receivedBytes += outcome.count }
      guard done < buffer.count else { break }
      failures = outcome.count > 0 ? 1 : failures + 1
      try client.wait(name, after: failures, outcome.answer)
    }
  }

  /// The bytes at the offsets of a range.
  func bytes(in range: Range<Int>) throws(HubError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    try fill(&bytes, at: range.lowerBound)
    return bytes
  }

  /// Replaces all of `bytes` by those from `offset` on.
  func fill(_ bytes: inout [UInt8], at offset: Int) throws(HubError) {
    var failure: HubError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(HubError) { try fetch(into: buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// An attempt: the bytes that came, and the last answer.
  private struct Outcome {
    let count: Int
    let answer: HTTPAnswer
  }

  private final class Progress {
    var count = 0
    /// Bytes before the wanted ones that are still to come; nil before the answer is checked.
    var skipped: Int?
    var problem: HubError?
    var isForeign = false
  }

  private func request(_ wanted: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(HubError) -> Outcome {
    var address = state.withLock { $0.address } ?? resolveAddress
    for _ in 0..<Self.maximumHops {
      let progress = Progress()
      let origin = Origin(address)
      let answer = client.get(address, range: wanted) { [self] answer, part in
        guard (200..<300).contains(answer.status) else { return progress.count == 0 && part.count < 1 << 20 }
        if progress.skipped == nil {
          do {
            guard let start = try start(of: answer, wanted, from: origin) else {
              progress.isForeign = true
              return false
            }
            progress.skipped = wanted.lowerBound - start
          } catch {
            progress.problem = error as? HubError
            return false
          }
        }
        let skipped = min(part.count, progress.skipped ?? 0)
        progress.skipped? -= skipped
        let useful = part[skipped...]
        // More than was asked for is a fault of the server.
        guard progress.count + useful.count <= buffer.count else { return false }
        UnsafeMutableRawBufferPointer(rebasing: buffer[progress.count...]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: useful))
        progress.count += useful.count
        return true
      }
      if let problem = progress.problem { throw problem }
      switch answer.status {
      case 200..<300:
        var answer = answer
        client.count { $0.requestedBytes += wanted.count }
        if progress.isForeign {
          answer.fault = "the server sends another range or another version of the file"
          state.withLock { $0.address = nil }
        } else if progress.count > 0, address != resolveAddress {
          state.withLock { $0.address = address }
        }
        return Outcome(count: progress.count, answer: answer)
      case 300..<400:
        try check(answer)
        guard let next = Self.target(of: answer, from: address) else {
          throw .badAnswer(name, reason: "the server redirects to no address")
        }
        address = next
      case 416: throw .changed(name, reason: "the server has fewer bytes than the hub names")
      case 408, 429: return Outcome(count: 0, answer: answer)
      case 400..<500:
        if origin == Origin(client.settings.endpoint),
          let refusal = client.refusal(answer, name, repository: reference.model, revision: reference.revision)
        {
          throw refusal
        }
        // A signed address has expired: ask for another.
        state.withLock { $0.address = nil }
        return Outcome(count: 0, answer: answer)
      default: return Outcome(count: 0, answer: answer)
      }
    }
    throw .badAnswer(name, reason: "the server redirects in circles")
  }

  /// The offset in the file at which a body begins; nil for a body of another range or of another version of the file.
  ///
  /// - Throws: ``HubError/noRanges(_:)``, ``HubError/changed(_:reason:)``
  private func start(
    of answer: HTTPAnswer, _ wanted: Range<Int>, from origin: Origin?
  ) throws(HubError) -> Int? {
    try check(answer)
    let start: Int
    switch answer.status {
    case 200:
      // A whole file is as good if it was wanted.
      guard isReadWhole || wanted == 0..<entry.size else { throw .noRanges(name) }
      start = 0
    case 206:
      let text = answer.headers["content-range"]?.lowercased().split(separator: " ").last
      if text == Substring("\(wanted.lowerBound)-\(wanted.upperBound - 1)/\(entry.size)") {
        start = wanted.lowerBound
      } else if isReadWhole, text == Substring("0-\(entry.size - 1)/\(entry.size)") {
        start = 0
      } else {
        return nil
      }
    default: return nil
    }
    return isSameVersion(answer, from: origin) ? start : nil
  }

  /// Whether a server's answer has the version of its first one.
  private func isSameVersion(_ answer: HTTPAnswer, from origin: Origin?) -> Bool {
    guard let origin, let found = answer.headers["etag"] else { return true }
    return state.withLock { state in
      if state.versions[origin] == nil { state.versions[origin] = found }
      return state.versions[origin] == found
    }
  }

  /// Compares what the hub says of the file with the listing.
  private func check(_ answer: HTTPAnswer) throws(HubError) {
    if let found = answer.headers["x-repo-commit"], found != commit {
      throw .changed(name, reason: "the server sends commit \(found.prefix(12)) instead of \(commit.prefix(12))")
    }
    if let size = answer.headers["x-linked-size"].flatMap({ Int($0) }), size != entry.size {
      throw .changed(name, reason: "has \(size) bytes on the server, and \(entry.size) in the listing")
    }
    if let sha256 = entry.sha256, let found = answer.headers["x-linked-etag"],
      !found.lowercased().contains(sha256.lowercased())
    {
      throw .changed(name, reason: "has another SHA-256 on the server than in the listing")
    }
  }

  /// The address that an answer redirects to.
  static func target(of answer: HTTPAnswer, from address: String) -> String? {
    guard let text = answer.headers["location"], let base = URL(string: address) else { return nil }
    let target = URL(string: text, relativeTo: base)?.absoluteString
    return target.flatMap { Origin($0) == nil ? nil : $0 }
  }
}
