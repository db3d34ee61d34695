#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A failed operation on a file: its path, the byte offset and the system's error.
public struct FileError: Error, Equatable, Sendable {
  /// The operation that failed.
  public enum Operation: String, Sendable {
    case open, read, write, reserve, sync, rename, create, fetch, lock
    /// Reading a file that was removed when what was made from it was written.
    case removed
  }
  /// The operation that failed.
  public let operation: Operation
  /// The path of the file.
  public let path: String
  /// Byte offset, where the operation has one.
  public let offset: Int?
  /// The number of bytes that the disk lacks, for `reserve`.
  public let lacking: Int?
  /// `errno`, or 0 where the file ended early.
  public let code: Int32
  /// The meaning of the failure where the operating system has no words for it, as with a server's answer.
  public let detail: String?

  /// - Parameters:
  ///   - code: `errno`, or 0 where the file ended early.
  ///   - detail: the reason, where it is not the code's.
  public init(
    _ operation: Operation, path: String, offset: Int? = nil, lacking: Int? = nil, code: Int32, detail: String? = nil
  ) {
    self.detail = detail
    self.operation = operation
    self.path = path
    self.offset = offset
    self.lacking = lacking
    self.code = code
  }

  /// The meaning of ``code``, usually in the operating system's words.
  public var reason: String {
    if let detail { return detail }
    return switch code {
    case 0: "the file ends"
    case ESPIPE: "it is a pipe, a device or a socket, not a file"
    default: String(cString: strerror(code))
    }
  }
}

/// The error code for a directory, a pipe or a device that is opened as a file; nil for files.
func irregularity(of status: stat) -> Int32? {
  switch status.st_mode & S_IFMT {
  case S_IFREG: nil
  case S_IFDIR: EISDIR
  default: ESPIPE
  }
}
