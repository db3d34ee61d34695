#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What this process may allocate.
public enum MemoryLimit {
  /// Bytes of the machine's memory.
  public static var physical: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// The most bytes of memory that this process has held at one time.
  public static var peak: Int { systemPeak }

  /// Bytes of address space that are left below the process's limit (`ulimit -v`); nil where there is none.
  ///
  /// Asking before allocating matters: an allocation beyond the limit ends a Swift process without a word.
  public static var left: Int? {
    guard let limit = addressSpaceLimit, limit < UInt64(Int.max) else { return nil }
    return max(0, Int(limit) - mapped)
  }
}
