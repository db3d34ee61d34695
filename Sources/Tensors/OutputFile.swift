#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file that appears under its name only when it is whole.
///
/// Bytes go to `<path>.part` beside the target; ``commit()`` syncs and renames. An output that is dropped without a
/// commit removes its temporary file, unless it was asked to stay for a resumed run.
public final class OutputFile {
  public let path: String
  public let temporaryPath: String
  /// Where the next ``write(_:)`` goes.
  public private(set) var offset = 0
  private var descriptor: Int32
  private var keepsTemporary = false

  /// Creates the temporary file. `overwrite` decides whether a file under the final name may be replaced.
  public init(path: String, overwrite: Bool = false) throws(FileError) {
    if !overwrite && access(path, F_OK) == 0 { throw FileError(.create, path: path, code: EEXIST) }
    self.path = path
    self.temporaryPath = path + ".part"
    descriptor = open(temporaryPath, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.create, path: temporaryPath, code: errno) }
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if !keepsTemporary { unlink(temporaryPath) }
  }

  /// Gives the file its final size, filled with zeros, after making sure that the disk can hold it.
  public func reserve(_ bytes: Int) throws(FileError) {
    try Self.requireSpace(bytes, for: path)
    guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw FileError(.write, path: path, offset: 0, code: errno) }
  }

  /// Makes sure that the disk of `path` has `bytes` left; the error's offset is how many are missing.
  public static func requireSpace(_ bytes: Int, for path: String) throws(FileError) {
    var space = statvfs()
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard statvfs(folder, &space) == 0 else { return }
    let free = UInt64(space.f_bavail) * UInt64(space.f_frsize)
    guard UInt64(bytes) <= free else {
      throw FileError(.reserve, path: path, offset: bytes - Int(clamping: free), code: ENOSPC)
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
  }

  public func write(_ bytes: [UInt8]) throws(FileError) { try write(bytes.span.bytes) }

  /// Syncs, closes, and gives the file its name.
  public func commit() throws(FileError) {
    precondition(descriptor >= 0, "\(path) is committed already")
    guard fsync(descriptor) == 0 else { throw FileError(.sync, path: temporaryPath, code: errno) }
    close(descriptor)
    descriptor = -1
    guard rename(temporaryPath, path) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw FileError(.rename, path: path, code: code)
    }
  }
}
