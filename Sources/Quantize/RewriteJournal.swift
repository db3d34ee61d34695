import Foundation
import GGUF
import Tensors

/// What a run is made of. Two runs of equal identity write the same bytes.
public struct RunIdentity: Codable, Equatable, Sendable {
  /// qtool's version: encoders change between versions.
  public let version: String
  /// The fingerprint of the source model.
  public let source: String
  /// A digest of the importance matrix, or `none`.
  public let importance: String
  /// A digest of the output's header: its metadata and the type of every tensor.
  public let recipe: String

  public init(version: String, source: String, importance: String, recipe: String) {
    self.version = version
    self.source = source
    self.importance = importance
    self.recipe = recipe
  }

  /// The first thing in which another run differs, in words, with its two values.
  func difference(from other: RunIdentity) -> (field: String, mine: String, other: String)? {
    for (field, path) in [
      ("source model", \RunIdentity.source), ("importance matrix", \.importance), ("recipe", \.recipe),
      ("version of qtool", \.version),
    ] where self[keyPath: path] != other[keyPath: path] {
      return (field, self[keyPath: path], other[keyPath: path])
    }
    return nil
  }
}

/// What of an output is done: a file beside it, `<path>.journal`, with a JSON object a line.
///
/// The first line is the run's ``RunIdentity``; every other one a tensor whose data is written, with its SHA-256. A line
/// that a crash cut off counts as not written. A resumed run reads the tensors' data again and believes only sums that
/// match, so that the order in which the disk wrote data and journal does not matter.
final class RewriteJournal {
  struct Entry: Codable, Equatable {
    let tensor: String
    let sha256: String
  }

  let path: String
  /// Tensors that an earlier run said were done.
  let inherited: [String: String]
  private let handle: FileHandle

  static func path(for output: String) -> String { output + ".journal" }

  /// Opens the journal of `output`, or begins one.
  ///
  /// - Parameter restart: forget what an earlier run has done, or has left no data of.
  /// - Throws: ``QuantizeError/otherRun(journal:field:there:here:)`` where an earlier run was of another identity.
  init(output: String, identity: RunIdentity, restart: Bool) throws {
    path = Self.path(for: output)
    // Held while the run lasts: two runs of one output would spoil each other's files.
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.create, path: path, code: errno) }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw FileError(.create, path: path, code: errno == EWOULDBLOCK ? EBUSY : errno)
    }
    let decoder = JSONDecoder()
    var inherited: [String: String] = [:]
    var validBytes: UInt64 = 0
    if !restart, let text = try handle.readToEnd() {
      // Behind the last newline: nothing, or a line that was cut off.
      let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
      if let first = lines.first, let other = try? decoder.decode(RunIdentity.self, from: first) {
        if let (field, mine, theirs) = identity.difference(from: other) {
          throw QuantizeError.otherRun(journal: path, field: field, there: theirs, here: mine)
        }
        validBytes = UInt64(first.count + 1)
        for line in lines.dropFirst() {
          guard let entry = try? decoder.decode(Entry.self, from: line) else { break }
          inherited[entry.tensor] = entry.sha256
          validBytes += UInt64(line.count + 1)
        }
      }
    }
    self.inherited = inherited
    try handle.truncate(atOffset: validBytes)
    try handle.seekToEnd()
    if validBytes == 0 { try append(identity) }
  }

  /// Writes down that a tensor's data is written.
  func record(_ tensor: String, sha256: String) throws {
    try append(Entry(tensor: tensor, sha256: sha256))
  }

  private func append(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    do {
      try handle.write(contentsOf: try encoder.encode(value) + [UInt8(ascii: "\n")])
    } catch let error as CocoaError {
      throw FileError(.write, path: path, code: error.code == .fileWriteOutOfSpace ? ENOSPC : EIO)
    }
  }

  /// Removes the file: the output is whole, or nothing of it is worth keeping.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
