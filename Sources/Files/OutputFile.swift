#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file that appears under its name only when it is complete.
///
/// Bytes go to `<path>.part`; ``commit()`` syncs and renames it. An output that is dropped without a commit removes its
/// temporary file, unless ``keepTemporary()`` was called so that a later run can resume. A lock lets only one process
/// at a time write an output.
public final class OutputFile {
  /// The final path.
  let path: String
  let temporaryPath: String
  /// The byte offset of the next ``write(_:)``.
  private(set) var offset = 0
  private var descriptor: Int32
  private var keepsTemporary = false
  /// Bytes that an earlier run left in the temporary file; 0 without `resuming`.
  public let inherited: Int

  /// Creates the temporary file, or opens that of an earlier run.
  ///
  /// - Parameters:
  ///   - overwrite: lets ``commit()`` replace a file of the same name.
  ///   - resuming: keeps the bytes that an earlier run left.
  ///   - shared: lets other processes write other bytes of the file at the same time. Implies `resuming`; the temporary
  ///     file remains.
  public init(
    path: String, overwrite: Bool = false, resuming: Bool = false, shared: Bool = false
  ) throws(FileError) {
    let resuming = resuming || shared
    try Self.check(path, overwrite: overwrite)
    self.path = path
    self.temporaryPath = path + ".part"
    let descriptor = open(temporaryPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.create, path: temporaryPath, code: errno) }
    self.descriptor = descriptor
    var status = stat()
    guard flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0, fstat(descriptor, &status) == 0 else {
      // The temporary file belongs to another process: keep it.
      let code = errno
      keepsTemporary = true
      inherited = 0
      throw FileError(.create, path: temporaryPath, code: code == EWOULDBLOCK ? EBUSY : code)
    }
    inherited = resuming ? Int(status.st_size) : 0
    // The bytes of an earlier run outlive a failure of this one, such as a full disk.
    keepsTemporary = resuming
    guard resuming || ftruncate(descriptor, 0) == 0 else {
      throw FileError(.create, path: temporaryPath, code: errno)
    }
  }

  /// Throws where a file has this name already (unless `overwrite`), or a directory or a device: renaming would fail
  /// for the directory after all work, and replace the device.
  public static func check(_ path: String, overwrite: Bool) throws(FileError) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    if let code = irregularity(of: status) { throw FileError(.create, path: path, code: code) }
    if !overwrite { throw FileError(.create, path: path, code: EEXIST) }
  }

  /// Whether an earlier run left a temporary file for `path`.
  public static func isBegun(_ path: String) -> Bool { access(path + ".part", F_OK) == 0 }

  /// Keeps the temporary file when this output is dropped without a commit.
  public func keepTemporary() { keepsTemporary = true }

  /// Removes the temporary file when this output is dropped without a commit.
  public func discardTemporary() { keepsTemporary = false }

  deinit {
    guard descriptor >= 0 else { return }
    release()
    if !keepsTemporary { unlink(temporaryPath) }
  }

  // Closing alone would leave the lock to a child process between fork and exec.
  private func release() {
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Extends the file with zeros to its final size. Throws where the disk has too little free space.
  ///
  /// - Parameter checksSpace: false where space becomes free while the file is written.
  public func reserve(_ bytes: Int, checksSpace: Bool = true) throws(FileError) {
    if checksSpace { try Self.requireSpace(bytes - allocated, for: path) }
    guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw FileError(.write, path: path, offset: 0, code: errno) }
  }

  /// Bytes that the temporary file occupies on the disk.
  public var allocated: Int {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? Int(status.st_blocks) * 512 : 0
  }

  /// Throws where the disk of `path` has fewer than `bytes` bytes free, with the number that it lacks.
  public static func requireSpace(_ bytes: Int, for path: String) throws(FileError) {
    guard bytes > 0, let free = free(for: path), bytes > free else { return }
    throw FileError(.reserve, path: path, lacking: bytes - free, code: ENOSPC)
  }

  /// Writes after the bytes of the last such call.
  public func write(_ bytes: RawSpan) throws(FileError) {
    try write(bytes, at: offset)
    offset += bytes.byteCount
  }

  /// Writes at a byte position, which does not affect calls without a position.
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

  /// Writes after the bytes of the last such call.
  public func write(_ bytes: [UInt8]) throws(FileError) { try write(bytes.span.bytes) }

  /// Fills `output` with the written bytes from `position` on.
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

  /// Syncs the entries of a folder, such as a new name, to the disk.
  public static func syncFolder(_ path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(.sync, path: path, code: errno) }
    defer { close(descriptor) }
    // Some file systems can't sync folders, and need not.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw FileError(.sync, path: path, code: errno) }
  }

  /// Bytes that are free on the disk of `path`; nil where that is unknown.
  public static func free(for path: String) -> Int? {
    var space = statvfs()
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard statvfs(folder, &space) == 0 else { return nil }
    return Int(clamping: UInt64(space.f_bavail) * UInt64(space.f_frsize))
  }

  /// Syncs the written bytes to the disk.
  public func sync() throws(FileError) {
    guard fsync(descriptor) == 0 else { throw FileError(.sync, path: temporaryPath, code: errno) }
  }

  /// Syncs, closes and renames the file.
  public func commit() throws(FileError) {
    precondition(descriptor >= 0, "\(path) is committed already")
    try sync()
    release()
    descriptor = -1
    guard rename(temporaryPath, path) == 0 else {
      let code = errno
      if !keepsTemporary { unlink(temporaryPath) }
      throw FileError(.rename, path: path, code: code)
    }
  }
}
