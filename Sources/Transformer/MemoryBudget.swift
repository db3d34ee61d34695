/// The memory that a run may take, and the shares in which it is handed out.
///
/// Every fraction of a budget is in this file; Documentation/architecture.md has them as a table. The shares of a stage
/// add up to the budget at most, whatever its size. A share is a limit: what it does not hold is spilled, or cut into
/// more parts.
public struct MemoryBudget: Sendable, Equatable {
  /// Bytes.
  public let total: Int

  /// A budget of so many bytes.
  public init(_ total: Int) { self.total = total }

  /// Bytes for data: what is left beside the program and, of a large budget, beside what the allocator wastes.
  ///
  /// - Parameter program: bytes of the program itself, metadata and tokenizers.
  package func data(beside program: Int) -> Int { total - max(total / 16, program) }

  /// The smallest budget with `need` bytes for data.
  package static func minimum(data need: Int, beside program: Int) -> Int {
    var total = max(need / 15 * 16, need + program)
    while MemoryBudget(total).data(beside: program) < need { total += 1 }
    while MemoryBudget(total - 1).data(beside: program) >= need { total -= 1 }
    return total
  }

  // MARK: Layers

  /// Blocks of weights in memory: one in use, the other read ahead.
  package static let weightBlocks = 2

  /// Bytes without which no layer runs.
  package struct LayerNeeds: Equatable, Sendable {
    /// The program itself.
    package let program: Int
    /// The sums of an observer, and the working memory of all threads.
    package let fixed: Int
    /// States of one window in work.
    package let window: Int
    /// The smallest block of weights.
    package let block: Int

    package init(program: Int, fixed: Int, window: Int, block: Int) {
      self.program = program
      self.fixed = fixed
      self.window = window
      self.block = block
    }

    package var data: Int { fixed + window + MemoryBudget.weightBlocks * block }
  }

  /// The stage in which layers run, and hidden states of all windows exist.
  package struct LayerShares: Equatable {
    package let needs: LayerNeeds
    /// Final states of every run: those of earlier runs stay while later ones go through the layers.
    package let finals: Int
    /// For what the caller keeps beside the pass: see ``MemoryBudget/SideShares``.
    package let side: Int
    /// The budget for states of the windows in work.
    package let slab: Int
    /// A block of weights where hidden states stay in memory; larger blocks are not read faster.
    package let block: Int
    /// Bytes beside `program`, `finals`, `side` and `fixed`.
    package let available: Int

    /// A block of weights where hidden states are spilled: they are read again for every block, so that larger blocks
    /// mean fewer readings.
    ///
    /// - Parameter slab: bytes of states in work.
    package func spillingBlock(beside slab: Int) -> Int {
      max(needs.block, (available - slab) / 5 * 2 / MemoryBudget.weightBlocks)
    }

    /// Hidden states of all windows: the remaining bytes.
    package func activations(beside slab: Int, block: Int) -> Int {
      max(0, available - slab - MemoryBudget.weightBlocks * block)
    }
  }

  /// - Parameters:
  ///   - finals: bytes of all runs' final states.
  ///   - isSideBySide: whether variants of one model run, of which the caller keeps encoded tensors and results.
  /// - Returns: nil where the budget is too small.
  package func layers(_ needs: LayerNeeds, finals: Int, isSideBySide: Bool) -> LayerShares? {
    let data = data(beside: needs.program)
    guard data >= needs.data else { return nil }
    let held = min(finals, finalStates(needs))
    let free = data - held - needs.data
    let side = isSideBySide ? min(free, total / 4 * 3) : 0
    let available = data - held - side - needs.fixed
    return LayerShares(
      needs: needs, finals: held, side: side,
      slab: max(needs.window, min(available / 4, available - MemoryBudget.weightBlocks * needs.block)),
      block: max(needs.block, min(64 << 20, available / 16)), available: available)
  }

  /// Bytes that the final states of all runs may take before they are spilled.
  func finalStates(_ needs: LayerNeeds) -> Int {
    let data = data(beside: needs.program)
    return max(0, min(data / 4, data - needs.data))
  }

  /// Floats of hidden states that are gathered for a group of experts, unless one slab has more.
  var gatheredFloats: Int { total / 64 }

  // MARK: Error feedback

  /// Bytes for the Gram matrices and the factor of one input, beside the pass that sums them. At 12 GiB, 53,248 columns
  /// get blocks of more than 8192.
  public var feedback: Int { total / 2 }

  // MARK: Variants side by side

  /// Bytes for what is kept beside passes over variants of one model.
  public struct SideShares: Sendable, Equatable {
    /// Encoded tensors that later variants want again.
    public let encoded: Int
    /// Final states of variants that are compared with the reference at a time.
    public let compared: Int
    /// A tile of logits, and as many for states that have to be loaded.
    public let logits: Int
  }

  package static func side(_ bytes: Int) -> SideShares {
    SideShares(encoded: bytes / 3, compared: bytes / 3, logits: bytes / 6)
  }

  // MARK: Scoring

  /// Bytes for tiles of logits; as many are left for states that have to be loaded. A quarter of the data is for final
  /// states that stay in memory.
  ///
  /// - Parameters:
  ///   - program: bytes of the program itself.
  ///   - work: bytes of the heads' rows, of all threads, and of what the caller keeps.
  /// - Throws: ``ForwardError/budgetTooSmall(bytes:least:)`` where less than `minimum` is left.
  package func logits(beside program: Int, work: Int, minimum: Int) throws(ForwardError) -> Int {
    let free = data(beside: program) / 4 * 3 - work
    guard free / 2 >= minimum else {
      throw .budgetTooSmall(bytes: total, least: total + (2 * minimum - free + 2) / 3 * 4)
    }
    return free / 2
  }

  /// Bytes for logits of multiple-choice tasks, whose texts are short.
  public var tasks: Int { total / 4 }
}
