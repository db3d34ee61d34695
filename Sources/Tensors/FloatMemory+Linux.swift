#if os(Linux)
  import Glibc

  extension FloatMemory {
    /// Pages of 2 MiB for a range that begins with one.
    static func askForHugePages(_ base: UnsafeMutableRawPointer, _ bytes: Int) { madvise(base, bytes, MADV_HUGEPAGE) }
  }
#endif
