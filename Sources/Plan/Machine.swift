/// A machine as far as a plan needs it: how much a model may fill, and how fast it is read.
public struct Machine: Sendable, Equatable {
  /// Measured speed over what bandwidth alone would give, of a dense model and of one with experts.
  public struct Efficiency: Sendable, Equatable {
    public let dense: Double
    public let experts: Double
    public let source: String
  }

  /// As `--machine` takes it: `m3-ultra-256`.
  public let name: String
  public let title: String
  /// Bytes of the memory that weights lie in: a Mac's unified memory, a graphics card's own.
  public let memory: Int
  /// What of it the system lets a model, its cache and everything else on the accelerator hold together.
  public let limit: Int
  /// Where ``limit`` comes from.
  public let limitSource: String
  /// Bytes per second; nil where it isn't known, and then no speed is planned.
  public let bandwidth: Double?
  public let bandwidthSource: String
  /// The part of the bandwidth that it reaches when it generates.
  public let efficiency: Efficiency
  /// Bytes within ``limit`` that are left to windows and other programs.
  public let reserve: Int
  /// Whether `iogpu.wired_limit_mb` sets the limit.
  public let isMac: Bool

  public init(
    name: String, title: String, memory: Int, limit: Int, limitSource: String, bandwidth: Double?,
    bandwidthSource: String, efficiency: Efficiency = Machines.efficiency, reserve: Int, isMac: Bool = false
  ) {
    self.name = name
    self.title = title
    self.memory = memory
    self.limit = limit
    self.limitSource = limitSource
    self.bandwidth = bandwidth
    self.bandwidthSource = bandwidthSource
    self.efficiency = efficiency
    self.reserve = reserve
    self.isMac = isMac
  }

  /// What weights, cache and activations may take together.
  public var usable: Int { max(0, limit - reserve) }

  /// A machine of which only figures are known.
  ///
  /// Without `reserve`, three quarters of the memory count, less what ``Machines/reserve`` leaves to the system: what
  /// macOS allowed the GPU for years, and a careful share elsewhere. With it, everything but the reserve does: that is
  /// for those who know (or have raised) their limit.
  public init(memory: Int, bandwidth: Double?, reserve: Int?, name: String = "custom", title: String = "custom") {
    self.init(
      name: name, title: title, memory: memory, limit: reserve == nil ? memory / 4 * 3 : memory,
      limitSource: reserve == nil ? "75 % of memory" : "all memory but the reserve", bandwidth: bandwidth,
      bandwidthSource: "given", reserve: reserve ?? Machines.reserve)
  }

  /// The same machine with other figures where they are given. A reserve that is given goes before a limit that the
  /// system would set: everything else counts, as for a machine of which only figures are known.
  public func replacing(memory: Int? = nil, bandwidth: Double? = nil, reserve: Int? = nil) -> Machine {
    let figures =
      memory == nil && reserve == nil
      ? self : Machine(memory: memory ?? self.memory, bandwidth: self.bandwidth, reserve: reserve)
    return Machine(
      name: name, title: title, memory: figures.memory, limit: figures.limit, limitSource: figures.limitSource,
      bandwidth: bandwidth ?? self.bandwidth, bandwidthSource: bandwidth == nil ? bandwidthSource : "given",
      efficiency: efficiency, reserve: figures.reserve, isMac: isMac)
  }
}
