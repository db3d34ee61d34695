#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The file behind a path, with links resolved. Equal identities show that an output is also an input.
public struct FileIdentity: Hashable, Sendable {
  private let device: UInt64
  private let inode: UInt64

  /// Nil where no file has this path.
  public init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(status.st_ino)
  }
}
