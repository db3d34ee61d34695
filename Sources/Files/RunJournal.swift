import Foundation

/// What of an output is done: a file beside it, `<path>.journal`, with a JSON object a line.
///
/// The first line is the run's ``RunIdentity``; every other one a piece of work that is written, by its name, with its
/// SHA-256. A line that a crash cut off counts as not written. A resumed run reads the pieces again and believes only sums
/// that match, so that the order in which the disk wrote data and journal does not matter.
public final class RunJournal {
  private struct Entry: Codable {
    let name: String
    let sha256: String
  }

  public let path: String
  /// What an earlier run said was done, with the SHA-256 that it noted last.
  public let inherited: [String: String]
  /// What has been noted, by this run or an earlier one.
  public private(set) var entries: [String: String]
  private let handle: FileHandle

  public static func path(for output: String) -> String { output + ".journal" }

  /// True where an earlier run has left a journal for `output`.
  public static func isBegun(_ output: String) -> Bool { access(path(for: output), F_OK) == 0 }

  /// Opens the journal of `output`, or begins one.
  ///
  /// - Parameter restart: forget what an earlier run has done, or has left no data of.
  /// - Throws: ``OtherRun`` where an earlier run was of another identity, `FileError`.
  public init(output: String, identity: RunIdentity, restart: Bool) throws {
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
          throw OtherRun(path: path, field: field, there: theirs, here: mine)
        }
        validBytes = UInt64(first.count + 1)
        for line in lines.dropFirst() {
          guard let entry = try? decoder.decode(Entry.self, from: line) else { break }
          inherited[entry.name] = entry.sha256
          validBytes += UInt64(line.count + 1)
        }
      }
    }
    self.inherited = inherited
    entries = inherited
    try handle.truncate(atOffset: validBytes)
    try handle.seekToEnd()
    guard validBytes == 0 else { return }
    do { try append(identity) } catch {
      remove()
      throw error
    }
  }

  // Closing alone leaves the lock to a child process that is between fork and exec.
  deinit { flock(handle.fileDescriptor, LOCK_UN) }

  /// Writes down that a piece of work is written.
  public func record(_ name: String, sha256: String) throws {
    try append(Entry(name: name, sha256: sha256))
    entries[name] = sha256
  }

  private func append(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      try handle.write(contentsOf: try encoder.encode(value) + [UInt8(ascii: "\n")])
    } catch let error as CocoaError {
      throw FileError(.write, path: path, code: error.code == .fileWriteOutOfSpace ? ENOSPC : EIO)
    }
  }

  /// Whether what was done before an error is as good as ever: after a stop that was asked for, and after faults of disks.
  /// A fault of the data leaves nothing to continue from.
  public static func isWorthKeeping(after error: any Error) -> Bool {
    switch error {
    case is Paused, is OtherRun: true
    case let error as FileError: !(error.operation == .read && error.code == 0) && error.operation != .create
    default: false
    }
  }

  /// Removes the file: the output is whole, or nothing of it is worth keeping.
  public func remove() { try? FileManager.default.removeItem(atPath: path) }
}
