#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Which file a path leads to, whatever links lie between: what tells that an output is also an input.
public struct FileIdentity: Hashable, Sendable {
  private let device: UInt64
  private let inode: UInt64

  /// Nil where the path leads nowhere.
  public init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(status.st_ino)
  }
}
