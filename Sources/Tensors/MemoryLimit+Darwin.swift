#if canImport(Darwin)
  import Darwin

  extension MemoryLimit {
    static var systemPeak: Int {
      var usage = rusage()
      guard getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
      return Int(usage.ru_maxrss)
    }

    /// The limit of the address space in bytes, a huge number where there is none; nil if the system does not say.
    static var addressSpaceLimit: UInt64? {
      var limit = rlimit()
      guard getrlimit(RLIMIT_AS, &limit) == 0 else { return nil }
      return UInt64(limit.rlim_cur)
    }

    /// Bytes of address space that are mapped now: the system does not say.
    static var mapped: Int { 0 }
  }
#endif
