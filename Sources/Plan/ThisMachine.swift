extension Machines {
  /// The machine that qtool runs on, as the operating system describes it.
  ///
  /// On macOS: the GPU's working-set limit (raised by `iogpu.wired_limit_mb`) and the chip's bandwidth. Elsewhere:
  /// three quarters of the memory that this process may use, and no bandwidth.
  static var this: Machine { described }
}
