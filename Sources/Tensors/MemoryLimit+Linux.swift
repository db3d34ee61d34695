#if os(Linux)
  import Glibc

  extension MemoryLimit {
    static var systemPeak: Int {
      // rusage starts at the memory of the parent process.
      if let peak = status("VmHWM:") { return peak << 10 }
      var usage = rusage()
      guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
      return Int(usage.ru_maxrss) << 10
    }

    /// The limit of the address space in bytes, a huge number without a limit; nil if the system does not report it.
    static var addressSpaceLimit: UInt64? {
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return nil }
      return UInt64(limit.rlim_cur)
    }

    /// Mapped bytes of address space; 0 where the system does not report them.
    static var mapped: Int { (status("VmSize:") ?? 0) << 10 }

    /// A value of `/proc/self/status` in KiB; nil where the system does not have it.
    private static func status(_ key: String) -> Int? {
      guard let file = fopen("/proc/self/status", "r") else { return nil }
      defer { fclose(file) }
      var buffer = [CChar](repeating: 0, count: 256)
      while fgets(&buffer, Int32(buffer.count), file) != nil {
        let line = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard line.hasPrefix(key) else { continue }
        return Int(line.dropFirst(key.count).drop { !$0.isNumber }.prefix { $0.isNumber })
      }
      return nil
    }
  }
#endif
