import CBlocks
import Synchronization
import Tensors

/// One thread's memory while it encodes some rows' panel.
final class CodebookScratch {
  /// Rows that are encoded together.
  static let rows = 32

  let rows: [CodebookRow]
  var beam: CodebookBeam
  private let shape: CodebookShape
  private let squares: CodewordSquares
  private let memory: UnsafeMutablePointer<Float>
  /// Two times as many states for each row as the beam is wide: those before a sub-block and those behind it. The first
  /// are the rows themselves.
  private let states: [CodebookRow]
  private var blocks: [CodebookSuperBlock]
  private var costs: [Float]
  /// For each row, the number of its states, and which half of them is valid.
  private var counts: [Int]
  private var halves: [Int]

  init(_ shape: CodebookShape, width: Int) {
    self.shape = shape
    squares = CodewordSquares(shape)
    beam = CodebookBeam(width: width)
    let count = 2 * width * Self.rows
    let memory = UnsafeMutablePointer<Float>.allocate(capacity: count * CodebookRow.size)
    memory.initialize(repeating: 0, count: count * CodebookRow.size)
    states = (0..<count).map { CodebookRow(shape, memory + $0 * CodebookRow.size) }
    rows = Array(states[..<Self.rows])
    self.memory = memory
    blocks = Array(repeating: CodebookSuperBlock(), count: count)
    costs = Array(repeating: 0, count: count)
    counts = Array(repeating: 0, count: Self.rows)
    halves = counts
  }

  /// Bytes of one thread's memory.
  static func bytes(_ shape: CodebookShape, width: Int) -> Int {
    2 * width * rows * (4 * CodebookRow.size + MemoryLayout<CodebookSuperBlock>.stride) + CodewordSquares.bytes(shape)
  }

  deinit {
    squares.deallocate()
    beam.deallocate()
    memory.deallocate()
  }

  func feedback(_ metric: CodebookSubBlock) -> CodebookFeedback {
    squares.clear()
    return CodebookFeedback(shape, metric, squares)
  }

  /// The index of state `k` of a row in one half.
  private func index(_ row: Int, _ k: Int, half: Int) -> Int { (half * beam.width + k) * Self.rows + row }

  /// Begins with one state: d and first scales from the plain encoder.
  func begin(_ row: Int, _ panel: FeedbackPanel) {
    let index = index(row, 0, half: 0)
    blocks[index] = start(row, panel)
    costs[index] = 0
    (counts[row], halves[row]) = (1, 0)
  }

  /// Extends the states of a row by sub-block j, and keeps the best.
  func extend(_ row: Int, _ j: Int, _ feedback: CodebookFeedback, _ panel: FeedbackPanel, scales: Int) {
    let (start, length, half) = (j * shape.subBlock, shape.subBlock, halves[row])
    beam.clear()
    for k in 0..<counts[row] {
      let index = index(row, k, half: half)
      let step = Float(blocks[index].d) * shape.step
      guard step > 0 else {
        let state = states[index]
        feedback.leaveZeros(state.t + start, state.v + start, state.e + start)
        feed(state, start, panel)
        return
      }
      let near = Int(blocks[index].scales[Int(panel.column[start]) / length])
      feedback.extend(
        states[index].t + start, base: costs[index], parent: index, step: step,
        CodebookScales(near: near, count: scales, shape), into: &beam)
    }
    // A single state stays where it is.
    let other = beam.width > 1 ? 1 - half : half
    for k in 0..<beam.count {
      let (path, target) = (beam[k], index(row, k, half: other))
      let parent = path.pointee.parent
      if parent != target {
        states[target].copy(states[parent], done: start)
        blocks[target] = blocks[parent]
      }
      states[target].take(path, start, panel.column, into: &blocks[target])
      costs[target] = path.pointee.cost
      feed(states[target], start, panel)
    }
    (counts[row], halves[row]) = (beam.count, other)
  }

  private func feed(_ state: CodebookRow, _ start: Int, _ panel: FeedbackPanel) {
    let (length, full) = (shape.subBlock, FeedbackMetric.panelColumns)
    cv_subtract_rows(state.t, state.e + start, length, panel.factor + start * full, full, start + length, full)
  }

  /// The best state becomes the row's values and errors.
  func finish(_ row: Int) -> CodebookSuperBlock {
    let index = index(row, 0, half: halves[row])
    if index != row { states[row].copy(states[index], done: FeedbackMetric.panelColumns) }
    return blocks[index]
  }

  /// Lanes become rows.
  func load(
    _ panels: UnsafeBufferPointer<FeedbackPanel>, _ lanes: KeyPath<FeedbackPanel, UnsafeMutablePointer<Lane>>,
    _ part: (CodebookRow) -> UnsafeMutablePointer<Float>
  ) {
    var square = InlineArray<8, Lane>(repeating: Lane(repeating: 0))
    withUnsafeMutablePointer(to: &square) { square in
      let columns = UnsafeMutableRawPointer(square).assumingMemoryBound(to: Lane.self)
      for (octet, panel) in panels.enumerated() {
        let source = UnsafeRawPointer(panel[keyPath: lanes]).assumingMemoryBound(to: Float.self)
        let targets = part(rows[8 * octet])
        for c in stride(from: 0, to: 256, by: 8) {
          cv_load_columns(source + 8 * c, 8, columns)
          for row in 0..<8 { cv_store(targets + row * CodebookRow.size + c, columns[row]) }
        }
      }
    }
  }

  /// Rows become lanes.
  func store(
    _ panels: UnsafeBufferPointer<FeedbackPanel>, _ lanes: KeyPath<FeedbackPanel, UnsafeMutablePointer<Lane>>,
    _ part: (CodebookRow) -> UnsafeMutablePointer<Float>
  ) {
    for (octet, panel) in panels.enumerated() {
      let (source, target) = (part(rows[8 * octet]), panel[keyPath: lanes])
      for c in stride(from: 0, to: 256, by: 8) { cv_load_columns(source + c, CodebookRow.size, target + c) }
      // Rows that do not exist hold what was left of others.
      for row in panel.rows..<8 {
        for c in 0..<256 { target[c][row] = 0 }
      }
    }
  }

  /// A row's first d and scales, from the plain encoder.
  private func start(_ row: Int, _ panel: FeedbackPanel) -> CodebookSuperBlock {
    let (x, w) = (rows[row].v, rows[row].e)
    for c in stride(from: 0, to: 256, by: 8) {
      let natural = Int(panel.column[c])
      cv_store(x + natural, cv_load(rows[row].t + c))
      for i in 0..<8 { w[natural + i] = panel.pivots[c + i] }
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
  private let width: Int
  private let idle = Mutex(Idle())

  init(_ shape: CodebookShape, width: Int) { (self.shape, self.width) = (shape, width) }

  func with(_ body: (CodebookScratch) -> Void) {
    let scratch = idle.withLock { $0.scratches.popLast() } ?? CodebookScratch(shape, width: width)
    body(scratch)
    idle.withLock { $0.scratches.append(scratch) }
  }
}
