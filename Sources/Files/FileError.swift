#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What went wrong with a file, and where.
public struct FileError: Error, Equatable, Sendable {
  public enum Operation: String, Sendable { case open, read, write, reserve, sync, rename, create }
  public let operation: Operation
  public let path: String
  /// Byte offset, where the operation has one.
  public let offset: Int?
  /// Bytes that the disk lacks, for `reserve`.
  public let lacking: Int?
  /// `errno`, or 0 where the file simply ended.
  public let code: Int32

  public init(_ operation: Operation, path: String, offset: Int? = nil, lacking: Int? = nil, code: Int32) {
    self.operation = operation
    self.path = path
    self.offset = offset
    self.lacking = lacking
    self.code = code
  }

  /// What ``code`` means: the operating system's words for it, where those are of use.
  public var reason: String {
    switch code {
    case 0: "the file ends"
    case ESPIPE: "it is a pipe, a device or a socket, and no file"
    default: String(cString: strerror(code))
    }
  }
}

/// The error that a directory, a pipe or a device gives where a file is wanted; nil for files.
func irregularity(of status: stat) -> Int32? {
  switch status.st_mode & S_IFMT {
  case S_IFREG: nil
  case S_IFDIR: EISDIR
  default: ESPIPE
  }
}
