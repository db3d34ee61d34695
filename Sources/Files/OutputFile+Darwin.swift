#if canImport(Darwin)
  extension OutputFile {
    /// Does nothing: the system has no such advice.
    static func beginSync(of descriptor: Int32, offset: Int, count: Int) {}
  }
#endif
