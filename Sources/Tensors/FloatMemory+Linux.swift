#if os(Linux)
  import Glibc

  extension FloatMemory {
    /// Requests pages of 2 MiB for a range that begins at such a page.
    static func askForHugePages(_ base: UnsafeMutableRawPointer, _ bytes: Int) { madvise(base, bytes, MADV_HUGEPAGE) }
  }
#endif
