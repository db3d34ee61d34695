import CBlocks
import Synchronization
import Tensors

// The i-quants with codebooks, with error feedback.
//
// 1. d and a first scale of every sub-block come from the plain encoder, which sees the fed-back targets.
// 2. Sub-block after sub-block: all scales are tried (one at the lowest effort); at each, groups choose their codewords one
//    after the other in the full metric (see CodebookMetric). The errors of the best scale are fed into later sub-blocks.
// 3. Descent: a sub-block's best real values are v + g inv(H_bb), and any others cost their distance from these in the
//    metric H_bb. Step 2 chooses codewords for them at neighbouring scales. d is fitted again after all sub-blocks.

struct CodebookFormat: FeedbackFormat {
  let type: GGMLType
  private let shape: CodebookShape
  private let choosesScales: Bool
  /// Of all sub-blocks in the order of processing: with the columns behind them adapting, and as they are.
  private let conditional: CodebookMetric
  private let fixed: CodebookMetric?
  private let scratch: CodebookScratchPool

  /// - Parameter type: one of the seven types with a codebook.
  init(_ type: GGMLType, metric: FeedbackMetric, effort: FeedbackEffort) {
    guard let shape = CodebookShape.of(type) else { preconditionFailure("\(type) has no codebook") }
    self.type = type
    self.shape = shape
    choosesScales = effort > .feedback
    scratch = CodebookScratchPool(shape)
    let count = metric.columns / shape.subBlock
    conditional = CodebookMetric(shape, subBlocks: count)
    fixed = effort > .scales ? CodebookMetric(shape, subBlocks: count) : nil
    let (storage, length, full) = (metric.storage, shape.subBlock, FeedbackMetric.panelColumns)
    for (index, panel) in storage.panels.enumerated() {
      let (factor, gram) = (storage.pointer(panel.near), storage.pointer(panel.nearGram))
      let pivots = storage.pointer(panel.pivots)
      for j in 0..<shape.subBlocks {
        let start = j * length
        let offset = start * full + start
        conditional.set(
          index * shape.subBlocks + j, factor: factor + offset, rowStride: full, pivots: pivots + start)
        fixed?.set(index * shape.subBlocks + j, gram: gram + offset, rowStride: full)
      }
    }
  }

  var blank: CodebookSuperBlock { CodebookSuperBlock() }

  func encode(_ panel: FeedbackPanel, into choices: UnsafeMutablePointer<CodebookSuperBlock>) {
    precondition(panel.columns == 256)
    scratch.with { scratch in
      scratch.load(panel.targets) { $0.t }
      for row in 0..<panel.rows { choices[row] = scratch.start(row, panel) }
      for j in 0..<shape.subBlocks {
        let feedback = CodebookFeedback(
          metric: conditional, squares: scratch.squares, j: panel.index * shape.subBlocks + j)
        scratch.squares.clear()
        let (start, end) = (j * shape.subBlock, (j + 1) * shape.subBlock)
        for row in 0..<panel.rows {
          scratch.rows[row].encode(
            j, feedback, order: panel.column, count: choosesScales ? shape.scaleLevels : 1, into: &choices[row])
          let (t, e) = (scratch.rows[row].t, scratch.rows[row].e)
          cv_subtract_rows(t, e + start, shape.subBlock, panel.factor + start * 256, 256, end, 256)
        }
      }
      scratch.store(panel.values) { $0.v }
      scratch.store(panel.errors) { $0.e }
    }
  }

  func refine(_ panel: FeedbackPanel, choices: UnsafeMutablePointer<CodebookSuperBlock>) {
    guard let fixed else { return }
    scratch.with { scratch in
      scratch.load(panel.values) { $0.v }
      scratch.load(panel.gradients) { $0.g }
      for j in 0..<shape.subBlocks {
        let feedback = CodebookFeedback(metric: fixed, squares: scratch.squares, j: panel.index * shape.subBlocks + j)
        scratch.squares.clear()
        for row in 0..<panel.rows {
          scratch.rows[row].refine(
            j, feedback, order: panel.column, gram: panel.gram, gradients: scratch.rows[row].g, into: &choices[row])
        }
      }
      for row in 0..<panel.rows {
        scratch.rows[row].refit(gram: panel.gram, gradients: scratch.rows[row].g, into: &choices[row])
      }
      scratch.store(panel.values) { $0.v }
      for c in 0..<256 { panel.errors[c] = panel.targets[c] - panel.values[c] }
    }
  }

  func pack(_ choice: borrowing CodebookSuperBlock, columns: Int, into blocks: UnsafeMutablePointer<UInt8>) {
    choice.store(as: type, into: blocks)
  }
}

/// One thread's memory while it encodes eight rows' panel.
final class CodebookScratch {
  let squares: CodewordSquares
  var rows: [CodebookRow]
  private let shape: CodebookShape
  private let memory: UnsafeMutablePointer<Float>

  init(_ shape: CodebookShape) {
    self.shape = shape
    squares = CodewordSquares(shape)
    let memory = UnsafeMutablePointer<Float>.allocate(capacity: 8 * CodebookRow.size)
    memory.initialize(repeating: 0, count: 8 * CodebookRow.size)
    rows = (0..<8).map { CodebookRow(shape, memory + $0 * CodebookRow.size) }
    self.memory = memory
  }

  deinit { memory.deallocate() }

  /// Lanes become rows.
  func load(_ lanes: UnsafeMutablePointer<Lane>, _ part: (CodebookRow) -> UnsafeMutablePointer<Float>) {
    let source = UnsafeRawPointer(lanes).assumingMemoryBound(to: Float.self)
    var square = InlineArray<8, Lane>(repeating: Lane(repeating: 0))
    withUnsafeMutablePointer(to: &square) { square in
      let columns = UnsafeMutableRawPointer(square).assumingMemoryBound(to: Lane.self)
      for c in stride(from: 0, to: 256, by: 8) {
        cv_load_columns(source + 8 * c, 8, columns)
        for row in 0..<8 { cv_store(part(rows[row]) + c, columns[row]) }
      }
    }
  }

  /// Rows become lanes.
  func store(_ lanes: UnsafeMutablePointer<Lane>, _ part: (CodebookRow) -> UnsafeMutablePointer<Float>) {
    let first = part(rows[0])
    for c in stride(from: 0, to: 256, by: 8) { cv_load_columns(first + c, CodebookRow.size, lanes + c) }
  }

  /// A row's first d and scales, from the plain encoder.
  func start(_ row: Int, _ panel: FeedbackPanel) -> CodebookSuperBlock {
    let (x, w) = (rows[row].v, rows[row].e)
    for c in stride(from: 0, to: 256, by: 8) {
      let natural = Int(panel.column[c])
      cv_store(x + natural, cv_load(rows[row].t + c))
      for i in 0..<8 { w[natural + i] = panel.gram[(c + i) * 257] }
    }
    let fit = fitCodebookSuperBlock(x, w, shape)
    var block = CodebookSuperBlock()
    (block.d, block.scales) = (fit.d, fit.scales)
    return block
  }
}

/// Scratch memories that threads take turns with.
final class CodebookScratchPool: Sendable {
  private struct Idle: ~Copyable, @unchecked Sendable { var scratches: [CodebookScratch] = [] }
  private let shape: CodebookShape
  private let idle = Mutex(Idle())

  init(_ shape: CodebookShape) { self.shape = shape }

  func with(_ body: (CodebookScratch) -> Void) {
    let scratch = idle.withLock { $0.scratches.popLast() } ?? CodebookScratch(shape)
    body(scratch)
    idle.withLock { $0.scratches.append(scratch) }
  }
}
