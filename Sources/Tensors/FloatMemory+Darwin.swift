#if canImport(Darwin)
  extension FloatMemory {
    /// The system chooses the size of pages by itself.
    static func askForHugePages(_ base: UnsafeMutableRawPointer, _ bytes: Int) {}
  }
#endif
