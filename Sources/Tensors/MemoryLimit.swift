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
  public static var peak: Int {
    // rusage begins with what the process held that started this one.
    if let peak = status("VmHWM:") { return peak << 10 }
    var usage = rusage()
    #if os(Linux)
      guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
      return Int(usage.ru_maxrss) << 10
    #else
      guard getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
      return Int(usage.ru_maxrss)
    #endif
  }

  /// Bytes of address space that are left below the process's limit (`ulimit -v`); nil where there is none.
  ///
  /// Asking before allocating matters: an allocation beyond the limit ends a Swift process without a word.
  public static var left: Int? {
    var limit = rlimit()
    #if os(Linux)
      guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return nil }
    #else
      guard getrlimit(RLIMIT_AS, &limit) == 0 else { return nil }
    #endif
    guard limit.rlim_cur < UInt64(Int.max) else { return nil }
    return max(0, Int(limit.rlim_cur) - mapped)
  }

  /// A figure of the system's account of this process, in KiB; nil where it has none.
  private static func status(_ key: String) -> Int? {
    guard let file = fopen("/proc/self/status", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      guard strncmp(line, key, key.utf8.count) == 0 else { continue }
      return line.withUnsafeBufferPointer { strtol($0.baseAddress! + key.utf8.count, nil, 10) }
    }
    return nil
  }

  /// Bytes of address space that are mapped now; 0 where the system does not say.
  private static var mapped: Int { (status("VmSize:") ?? 0) << 10 }
}
