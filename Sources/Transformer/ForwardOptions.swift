import Tensors

/// The resources of a forward pass.
public struct ForwardOptions: Sendable {
  /// The memory of the whole process.
  public var budget: MemoryBudget
  /// The directory of the scratch file for states that exceed their share of the memory.
  public var scratchDirectory: String
  /// The number of runs whose final states are in memory at the same time and share the budget.
  public var results: Int
  /// The product engine; nil for that of `ProductEngines`.
  package var engine: (any ProductEngine)?

  /// - Parameters:
  ///   - memory: bytes for the whole process; default: 60 % of the machine's memory.
  ///   - scratchDirectory: the directory of the scratch file.
  ///   - results: the number of runs whose final states are in memory at the same time.
  public init(memory: Int? = nil, scratchDirectory: String = "/tmp", results: Int = 1) {
    budget = MemoryBudget(memory ?? MemoryLimit.physical / 5 * 3)
    self.scratchDirectory = scratchDirectory
    self.results = results
  }
}
