import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What a forward pass may use.
public struct ForwardOptions: Sendable {
  /// Bytes for weights in flight, hidden states, attention and logits.
  public var memory: Int
  /// Where hidden states go that do not fit.
  public var scratchDirectory: String
  /// Runs whose final states are in use at the same time, which share the budget: more than 1 where models are compared.
  public var results: Int
  /// What multiplies matrices; nil for what ``ProductEngines`` chooses.
  public var engine: (any ProductEngine)?

  /// - Parameter memory: default: 60 % of the machine's.
  public init(memory: Int? = nil, scratchDirectory: String = "/tmp", results: Int = 1) {
    self.memory = memory ?? Self.physicalMemory / 5 * 3
    self.scratchDirectory = scratchDirectory
    self.results = results
  }

  static var physicalMemory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }
}
