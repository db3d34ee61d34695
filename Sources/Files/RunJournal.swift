import Foundation

/// The record of an output's finished parts: a file beside it, `<path>.journal`, with one JSON object per line.
///
/// The first line is the run's ``RunIdentity``. Every other line has the name and the SHA-256 of a finished part. A
/// line that a crash cut off is ignored. A resumed run reads the parts and trusts only those whose SHA-256 matches, so
/// the order in which the disk wrote data and journal does not matter.
public final class RunJournal {
  private struct Entry: Codable {
    let name: String
    let sha256: String
  }

  private let path: String
  /// The parts that an earlier run finished: SHA-256 by name.
  public let inherited: [String: String]
  /// All finished parts, of this run and earlier ones: SHA-256 by name.
  public private(set) var entries: [String: String]
  private let handle: FileHandle

  /// The path of the journal of `output`.
  public static func path(for output: String) -> String { output + ".journal" }

  /// Whether an earlier run left a journal for `output`.
  public static func isBegun(_ output: String) -> Bool { access(path(for: output), F_OK) == 0 }

  /// The inputs of the run of a journal; nil where they can't be read.
  static func identity(path: String) -> RunIdentity? {
    guard let text = FileManager.default.contents(atPath: path), let line = text.split(separator: 10).first else {
      return nil
    }
    return try? JSONDecoder().decode(RunIdentity.self, from: Data(line))
  }

  /// Opens the journal of `output`, or creates it.
  ///
  /// - Parameter restart: discard the entries of an earlier run.
  /// - Throws: ``OtherRun`` where the earlier run has another identity, ``FileError``.
  public init(output: String, identity: RunIdentity, restart: Bool) throws {
    path = Self.path(for: output)
    // The lock is held during the run: two runs of one output would damage each other's files.
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
      // After the last newline: nothing, or a line that was cut off.
      let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
      if let first = lines.first, let other = try? decoder.decode(RunIdentity.self, from: first) {
        if let (field, mine, theirs) = identity.difference(from: other) {
          throw OtherRun(path: path, field: field, recorded: theirs, current: mine)
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

  // Closing alone would leave the lock to a child process between fork and exec.
  deinit { flock(handle.fileDescriptor, LOCK_UN) }

  /// Records that a part is written.
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

  /// Syncs the file to the disk, before something is removed that only the finished parts replace.
  public func sync() throws(FileError) {
    guard fsync(handle.fileDescriptor) == 0 else { throw FileError(.sync, path: path, code: errno) }
  }

  /// Whether a later run may continue after an error: after a requested stop or a disk error, but not after damaged
  /// data.
  public static func isWorthKeeping(after error: any Error) -> Bool {
    switch error {
    case is Paused, is OtherRun: true
    case let error as FileError:
      !(error.operation == .read && error.code == 0) && !(error.operation == .fetch && error.code == EBADMSG)
        && error.operation != .create && error.operation != .removed
    default: false
    }
  }

  /// Removes the file, when the output is complete or nothing of it is kept.
  public func remove() { try? FileManager.default.removeItem(atPath: path) }

  /// Removes the journal of an output.
  public static func remove(of output: String) { try? FileManager.default.removeItem(atPath: path(for: output)) }
}
