#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The memory of the machine and of this process.
public enum MemoryLimit {
  /// Bytes of the machine's memory.
  public static var physical: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// The largest number of bytes of memory that this process has held at one time.
  public static var peak: Int { systemPeak }

  /// Remaining bytes of address space below the process's limit (`ulimit -v`); nil without a limit.
  ///
  /// An allocation beyond the limit ends a Swift process without a message.
  public static var remaining: Int? {
    guard let limit = addressSpaceLimit, limit < UInt64(Int.max) else { return nil }
    return max(0, Int(limit) - mapped)
  }
}
