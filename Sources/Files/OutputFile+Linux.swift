#if os(Linux)
  import Glibc

  extension OutputFile {
    /// Has the disk begin with written bytes now: the system alone waits until gigabytes have come together, and
    /// ``commit()`` for them.
    static func beginSync(of descriptor: Int32, offset: Int, count: Int) {
      guard count >= 1 << 18 else { return }
      _ = posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_DONTNEED)
    }
  }
#endif
