#if canImport(Darwin)
  extension FloatMemory {
    /// Does nothing: the system chooses the page size.
    static func askForHugePages(_ base: UnsafeMutableRawPointer, _ bytes: Int) {}
  }
#endif
