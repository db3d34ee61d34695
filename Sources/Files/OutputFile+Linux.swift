#if os(Linux)
  import Glibc

  extension OutputFile {
    /// Starts writing to the disk. Otherwise the system collects gigabytes, and ``commit()`` waits for all of them.
    static func beginSync(of descriptor: Int32, offset: Int, count: Int) {
      guard count >= 1 << 18 else { return }
      _ = posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_DONTNEED)
    }
  }
#endif
