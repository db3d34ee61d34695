#if os(Linux)
  import Foundation

  /// A file system in memory, of a few megabytes, that exists as long as this value.
  public final class SmallDisk: Sendable {
    private let directory: TemporaryDirectory

    /// Containers often forbid mounting even to root.
    public static let canMount = (try? SmallDisk(megabytes: 1)) != nil

    public init(megabytes: Int) throws {
      directory = try TemporaryDirectory()
      guard mount("qtool-test", directory.url.path, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
        throw POSIXError(.EPERM)
      }
    }

    deinit { umount2(directory.url.path, Int32(MNT_DETACH)) }

    public var contents: [String] { directory.contents }
    public func path(_ name: String) -> String { directory.path(name) }

    /// Uses all remaining space.
    public func fill() {
      let file = open(path("filler"), O_WRONLY | O_CREAT | O_APPEND, 0o644)
      let page = [UInt8](repeating: 1, count: 4096)
      while write(file, page, page.count) > 0 {}
      close(file)
    }

    public func empty() { unlink(path("filler")) }
  }
#endif
