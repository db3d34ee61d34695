/// The memory of a run, and its division into shares.
///
/// Every fraction of a budget is in this file; Documentation/architecture.md has a table of them. The shares of a stage
/// add up to at most the budget. Data that exceeds its share is spilled to the scratch file or processed in more parts.
public struct MemoryBudget: Sendable, Equatable {
  /// Bytes of the whole process.
  public let total: Int

  /// A budget of `total` bytes.
  public init(_ total: Int) { self.total = total }

  /// Bytes for data: the budget without the program and at least 1/16 of it, which the allocator wastes.
  ///
  /// - Parameter program: bytes of the program, metadata and tokenizers.
  package func data(beside program: Int) -> Int { total - max(total / 16, program) }

  /// The smallest budget that has `need` bytes for data.
  package static func minimum(data need: Int, beside program: Int) -> Int {
    var total = max(need / 15 * 16, need + program)
    while MemoryBudget(total).data(beside: program) < need { total += 1 }
    while MemoryBudget(total - 1).data(beside: program) >= need { total -= 1 }
    return total
  }

  // MARK: Layers

  /// The number of weight buffers: one is in use while the other is filled.
  package static let weightBuffers = 2

  /// The minimum memory of a layer, in bytes.
  package struct LayerNeeds: Equatable, Sendable {
    /// The program, metadata and tokenizers.
    package let program: Int
    /// The sums of an observer, and the working memory of all threads.
    package let fixed: Int
    /// The states of one window.
    package let window: Int
    /// The smallest weight buffer.
    package let weights: Int

    package init(program: Int, fixed: Int, window: Int, weights: Int) {
      self.program = program
      self.fixed = fixed
      self.window = window
      self.weights = weights
    }

    /// The minimum of the data.
    package var data: Int { fixed + window + MemoryBudget.weightBuffers * weights }
  }

  /// The shares while layers run, in bytes.
  package struct LayerShares: Equatable {
    package let needs: LayerNeeds
    /// The final states of all runs. Those of earlier runs stay in memory during later runs.
    package let finals: Int
    /// The data of the caller: see ``MemoryBudget/SideShares``.
    package let side: Int
    /// The states of a slab of windows.
    package let slab: Int
    /// A weight buffer if hidden states stay in memory. A larger one is not faster.
    package let weights: Int
    /// The budget without `program`, `finals`, `side` and `fixed`.
    package let available: Int

    /// A weight buffer if hidden states are spilled. The states are read once per buffer, so a larger one is faster.
    ///
    /// - Parameter slab: bytes of the states of a slab.
    package func spillingWeights(beside slab: Int) -> Int {
      max(needs.weights, (available - slab) / 5 * 2 / MemoryBudget.weightBuffers)
    }

    /// The hidden states of all windows: the remaining bytes.
    package func activations(beside slab: Int, weights: Int) -> Int {
      max(0, available - slab - MemoryBudget.weightBuffers * weights)
    }
  }

  /// The shares while layers run.
  ///
  /// - Parameters:
  ///   - finals: bytes of the final states of all runs.
  ///   - isSideBySide: whether variants run side by side; the caller then keeps encoded tensors and results.
  /// - Returns: nil where the budget is too small.
  package func layers(_ needs: LayerNeeds, finals: Int, isSideBySide: Bool) -> LayerShares? {
    let data = data(beside: needs.program)
    guard data >= needs.data else { return nil }
    let resident = min(finals, finalStates(needs))
    let free = data - resident - needs.data
    let side = isSideBySide ? min(free, total / 4 * 3) : 0
    let available = data - resident - side - needs.fixed
    return LayerShares(
      needs: needs, finals: resident, side: side,
      slab: max(needs.window, min(available / 4, available - MemoryBudget.weightBuffers * needs.weights)),
      weights: max(needs.weights, min(64 << 20, available / 16)), available: available)
  }

  /// The maximum number of bytes of final states in memory, of all runs.
  func finalStates(_ needs: LayerNeeds) -> Int {
    let data = data(beside: needs.program)
    return max(0, min(data / 4, data - needs.data))
  }

  /// The maximum number of floats of hidden states that are gathered for a group of experts, unless one slab has more.
  var gatheredFloats: Int { total / 64 }

  // MARK: Error feedback

  /// Bytes for the Gram matrices and the factor of one input, beside the pass that sums them. At 12 GiB, 53,248 columns
  /// get blocks of more than 8192.
  public var feedback: Int { total / 2 }

  // MARK: Variants side by side

  /// Shares of the data that a caller keeps while variants of one model run side by side, in bytes.
  public struct SideShares: Sendable, Equatable {
    /// Encoded tensors that later variants use again.
    public let encoded: Int
    /// Final states of the variants that are compared at a time.
    public let compared: Int
    /// A tile of logits; the same number remains for loading states.
    public let logits: Int
  }

  /// Divides ``LayerShares/side``.
  package static func side(_ bytes: Int) -> SideShares {
    SideShares(encoded: bytes / 3, compared: bytes / 3, logits: bytes / 6)
  }

  // MARK: Scoring

  /// Bytes for a tile of logits; the same number remains for loading states. A quarter of the data is reserved for
  /// final states in memory.
  ///
  /// - Parameters:
  ///   - program: bytes of the program, metadata and tokenizers.
  ///   - work: bytes of the decoded rows of output heads, of all threads' work, and of the caller's data.
  ///   - minimum: the smallest useful tile.
  /// - Throws: ``ForwardError/budgetTooSmall(bytes:minimum:)`` where fewer than `minimum` bytes remain.
  package func logits(beside program: Int, work: Int, minimum: Int) throws(ForwardError) -> Int {
    let free = data(beside: program) / 4 * 3 - work
    guard free / 2 >= minimum else {
      throw .budgetTooSmall(bytes: total, minimum: total + (2 * minimum - free + 2) / 3 * 4)
    }
    return free / 2
  }

  /// Bytes for the logits of multiple-choice tasks.
  public var tasks: Int { total / 4 }
}
