#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file that any number of threads read at byte positions.
///
/// It is not mapped, so that only the requested bytes are in memory.
public final class PositionedFile: Sendable {
  /// The path under which it was opened.
  public let path: String
  /// Bytes in the file when it was opened.
  public let size: Int
  /// -1 for a remote file.
  private let descriptor: Int32
  private let reading: Reading?
  private let remote: (any RemoteFile)?

  /// A replacement for `pread` with its arguments, its result and the file's path. Tests simulate failing disks with
  /// it.
  package typealias Reading =
    @Sendable (
      _ path: String, _ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int, _ offset: Int
    ) -> Int

  /// The replacement for files that are opened in the current task; nil for `pread`.
  @TaskLocal package static var reading: Reading?

  /// Opens a file. Directories, pipes and devices are errors.
  public init(path: String) throws(FileError) {
    if let remote = RemoteFiles.file(at: path) {
      self.path = path
      self.remote = remote
      (descriptor, reading, size) = (-1, nil, remote.size)
      return
    }
    // O_NONBLOCK: opening a pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileError(.open, path: path, code: errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      close(descriptor)
      throw FileError(.open, path: path, code: code)
    }
    if let code = irregularity(of: status) {
      close(descriptor)
      throw FileError(.open, path: path, code: code)
    }
    self.descriptor = descriptor
    self.path = path
    remote = nil
    reading = Self.reading
    self.size = Int(status.st_size)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The file at its path, if it is not on a disk.
  public var remoteFile: (any RemoteFile)? { remote }

  /// Lets go of the file, so that the space of a removed one becomes free. Later reads find it empty.
  public func release() {
    guard descriptor >= 0 else { return }
    let empty = open("/dev/null", O_RDONLY | O_CLOEXEC)
    guard empty >= 0 else { return }
    // The descriptor's number remains in use: another thread may be about to read from it.
    dup2(empty, descriptor)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    close(empty)
  }

  /// Fills `output` with the bytes from `offset` on. An end of the file before that is an error of code 0.
  public func read(into output: inout MutableRawSpan, at offset: Int) throws(FileError) {
    precondition(offset >= 0, "offset \(offset)")
    if let remote { return try Self.read(remote, path, into: &output, at: offset) }
    let failure: FileError? = output.withUnsafeMutableBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = min(buffer.count - done, 1 << 30)
        let target = buffer.baseAddress! + done
        let got =
          reading?(path, descriptor, target, count, offset + done)
          ?? pread(descriptor, target, count, off_t(offset + done))
        if got < 0 && errno == EINTR { continue }
        guard got > 0 else {
          return FileError(.read, path: path, offset: offset + done, code: got == 0 ? 0 : errno)
        }
        done += got
      }
      return nil
    }
    if let failure { throw failure }
  }

  private static func read(
    _ remote: any RemoteFile, _ path: String, into output: inout MutableRawSpan, at offset: Int
  ) throws(FileError) {
    let failure: FileError? = output.withUnsafeMutableBytes { buffer in
      guard offset + buffer.count <= remote.size else {
        return FileError(.read, path: path, offset: remote.size, code: 0)
      }
      do throws(FileError) { try remote.read(into: buffer, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }

  /// The bytes at the offsets of `range`.
  public func bytes(in range: Range<Int>) throws(FileError) -> [UInt8] {
    guard range.upperBound <= size else { throw FileError(.read, path: path, offset: size, code: 0) }
    var bytes = [UInt8](repeating: 0, count: range.count)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try read(into: &raw, at: range.lowerBound)
    return bytes
  }
}
