#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file that appears under its name only when it is whole.
///
/// Bytes go to `<path>.part` beside the target; ``commit()`` syncs and renames. An output that is dropped without a
/// commit removes its temporary file, unless ``keepTemporary()`` was called, so that a later run can go on with it. Only
/// one process at a time writes an output.
public final class OutputFile {
  public let path: String
  public let temporaryPath: String
  /// Where the next ``write(_:)`` goes.
  public private(set) var offset = 0
  private var descriptor: Int32
  private var keepsTemporary = false
  /// Bytes that the temporary file had when it was opened: what an earlier run left.
  public let inherited: Int

  /// Creates the temporary file, or with `resuming` opens the one that an earlier run left. `overwrite` decides whether a
  /// file under the final name may be replaced.
  public init(path: String, overwrite: Bool = false, resuming: Bool = false) throws(FileError) {
    try Self.check(path, overwrite: overwrite)
    self.path = path
    self.temporaryPath = path + ".part"
    let descriptor = open(temporaryPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.create, path: temporaryPath, code: errno) }
    self.descriptor = descriptor
    var status = stat()
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &status) == 0 else {
      // Another process is at work on it: its temporary file stays.
      let code = errno
      keepsTemporary = true
      inherited = 0
      throw FileError(.create, path: temporaryPath, code: code == EWOULDBLOCK ? EBUSY : code)
    }
    inherited = resuming ? Int(status.st_size) : 0
    // What an earlier run has written outlives a failure of this one, such as a disk that has no room yet.
    keepsTemporary = resuming
    guard resuming || ftruncate(descriptor, 0) == 0 else {
      throw FileError(.create, path: temporaryPath, code: errno)
    }
  }

  /// Refuses a name that is taken, and what no file can take the place of: a rename would fail for a directory after all
  /// work, and replace a device.
  public static func check(_ path: String, overwrite: Bool) throws(FileError) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    if let code = irregularity(of: status) { throw FileError(.create, path: path, code: code) }
    if !overwrite { throw FileError(.create, path: path, code: EEXIST) }
  }

  /// True where an earlier run has left a temporary file for `path`.
  public static func isBegun(_ path: String) -> Bool { access(path + ".part", F_OK) == 0 }

  /// Leaves the temporary file where it is when this output is dropped without a commit.
  public func keepTemporary() { keepsTemporary = true }

  /// Removes the temporary file when this output is dropped without a commit.
  public func discardTemporary() { keepsTemporary = false }

  deinit {
    guard descriptor >= 0 else { return }
    release()
    if !keepsTemporary { unlink(temporaryPath) }
  }

  /// Closing alone would leave the lock to a child process that is between fork and exec.
  private func release() {
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Gives the file its final size, filled with zeros, after making sure that the disk can hold what it lacks.
  public func reserve(_ bytes: Int) throws(FileError) {
    try Self.requireSpace(bytes - allocated, for: path)
    guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw FileError(.write, path: path, offset: 0, code: errno) }
  }

  /// Bytes of the disk that the temporary file takes already.
  public var allocated: Int {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? Int(status.st_blocks) * 512 : 0
  }

  /// Makes sure that the disk of `path` has `bytes` left; the error says how many are lacking.
  public static func requireSpace(_ bytes: Int, for path: String) throws(FileError) {
    var space = statvfs()
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard statvfs(folder, &space) == 0 else { return }
    let free = UInt64(space.f_bavail) * UInt64(space.f_frsize)
    guard bytes <= 0 || UInt64(bytes) <= free else {
      throw FileError(.reserve, path: path, lacking: bytes - Int(clamping: free), code: ENOSPC)
    }
  }

  /// Appends.
  public func write(_ bytes: RawSpan) throws(FileError) {
    try write(bytes, at: offset)
    offset += bytes.byteCount
  }

  /// Writes at a position without moving ``offset``.
  public func write(_ bytes: RawSpan, at position: Int) throws(FileError) {
    let failure: FileError? = bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = min(buffer.count - done, 1 << 30)
        let put = pwrite(descriptor, buffer.baseAddress! + done, count, off_t(position + done))
        if put < 0 && errno == EINTR { continue }
        guard put > 0 else { return FileError(.write, path: path, offset: position + done, code: errno) }
        done += put
      }
      return nil
    }
    if let failure { throw failure }
    Self.beginSync(of: descriptor, offset: position, count: bytes.byteCount)
  }

  public func write(_ bytes: [UInt8]) throws(FileError) { try write(bytes.span.bytes) }

  /// Fills `output` with what was written from `position` on.
  public func read(into output: inout MutableRawSpan, at position: Int) throws(FileError) {
    let failure: FileError? = output.withUnsafeMutableBytes { buffer in
      var done = 0
      while done < buffer.count {
        let got = pread(
          descriptor, buffer.baseAddress! + done, min(buffer.count - done, 1 << 30), off_t(position + done))
        if got < 0 && errno == EINTR { continue }
        guard got > 0 else {
          return FileError(.read, path: temporaryPath, offset: position + done, code: got == 0 ? 0 : errno)
        }
        done += got
      }
      return nil
    }
    if let failure { throw failure }
  }

  /// Syncs, closes, and gives the file its name.
  public func commit() throws(FileError) {
    precondition(descriptor >= 0, "\(path) is committed already")
    guard fsync(descriptor) == 0 else { throw FileError(.sync, path: temporaryPath, code: errno) }
    release()
    descriptor = -1
    guard rename(temporaryPath, path) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw FileError(.rename, path: path, code: code)
    }
  }
}
