/// A machine's memory limit and bandwidth, as plans need them.
public struct Machine: Sendable, Equatable {
  /// Measured generation speed relative to the bandwidth limit, for dense models and for mixtures of experts.
  public struct Efficiency: Sendable, Equatable {
    /// For dense models, 0 to 1.
    public let dense: Double
    /// For mixtures of experts, 0 to 1.
    public let experts: Double
    /// The source of the measurement.
    public let source: String
  }

  /// The identifier, such as `m3-ultra-256`.
  public let name: String
  /// The name for people: `Mac Studio M3 Ultra, 256 GB`.
  public let title: String
  /// Bytes of the memory that holds weights: a Mac's unified memory, a graphics card's memory.
  public let memory: Int
  /// Bytes that the system lets the accelerator use in all: model, cache and everything else.
  public let limit: Int
  /// The source of ``limit``.
  public let limitSource: String
  /// Bytes per second; nil if unknown, and then no speed is planned.
  public let bandwidth: Double?
  /// The source of ``bandwidth``.
  public let bandwidthSource: String
  /// The fraction of the bandwidth that generation reaches.
  public let efficiency: Efficiency
  /// Bytes within ``limit`` that are reserved for windows and other programs.
  public let reserve: Int
  /// Whether `iogpu.wired_limit_mb` sets the limit.
  public let isMac: Bool

  init(
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

  /// Bytes available to weights, cache and activations together.
  public var usable: Int { max(0, limit - reserve) }

  /// A machine given by figures alone.
  ///
  /// Without `reserve`, three quarters of the memory count, less ``Machines/reserve``: macOS allowed the GPU this share
  /// for years, and it is conservative elsewhere. With `reserve`, all memory except the reserve counts, for users who
  /// know or have raised their limit.
  public init(memory: Int, bandwidth: Double?, reserve: Int?, name: String = "custom", title: String = "custom") {
    self.init(
      name: name, title: title, memory: memory, limit: reserve == nil ? memory / 4 * 3 : memory,
      limitSource: reserve == nil ? "75 % of memory" : "all memory but the reserve", bandwidth: bandwidth,
      bandwidthSource: "given", reserve: reserve ?? Machines.reserve)
  }

  /// The same machine with the given figures replaced. A given reserve overrides the system's limit: all memory except
  /// the reserve counts, as for a machine given by figures alone.
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
