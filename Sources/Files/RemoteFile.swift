import Synchronization

/// A file whose bytes come from elsewhere than a disk, such as a server.
///
/// ``PositionedFile`` reads it under a path that ``RemoteFiles`` knows, so that every reader of files can read it.
public protocol RemoteFile: AnyObject, Sendable {
  /// Bytes of the file.
  var size: Int { get }

  /// Fills `buffer` with the bytes from `offset` on. They are in the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError)
}

/// Paths of this process that refer to remote files. A placeholder may exist at the path; its content is not read.
public enum RemoteFiles {
  private static let files = Mutex<[String: any RemoteFile]>([:])

  /// Lets a path refer to a file. The path must be absolute and without links.
  public static func register(_ file: any RemoteFile, at path: String) {
    files.withLock { $0[path] = file }
  }

  /// The remote file of a path; nil for files on a disk.
  public static func file(at path: String) -> (any RemoteFile)? { files.withLock { $0[path] } }
}
