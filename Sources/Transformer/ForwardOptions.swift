import Tensors

/// What a forward pass may use.
public struct ForwardOptions: Sendable {
  /// The memory of the whole process.
  public var budget: MemoryBudget
  /// Where hidden states go that do not fit.
  public var scratchDirectory: String
  /// Runs whose final states are in use at the same time, which share the budget: more than 1 where models are compared.
  public var results: Int
  /// What multiplies matrices; nil for what ``ProductEngines`` chooses.
  public var engine: (any ProductEngine)?

  /// - Parameter memory: bytes for the whole process; default: 60 % of the machine's.
  public init(memory: Int? = nil, scratchDirectory: String = "/tmp", results: Int = 1) {
    budget = MemoryBudget(memory ?? MemoryLimit.physical / 5 * 3)
    self.scratchDirectory = scratchDirectory
    self.results = results
  }
}
