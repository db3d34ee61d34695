import CBlocks
import Tensors

/// Up to 32 rows that are encoded with error feedback, panel after panel, so that one reading of U serves them all.
///
/// A row's arithmetic is independent of its neighbours': it has a lane of its own in every vector.
struct FeedbackBatch<Format: FeedbackFormat>: ~Copyable {
  /// Rows of a batch.
  static var capacity: Int { 32 }
  /// Rows of H or U that a tile sums at a time: they stay in the L1 cache, with the rows' errors.
  private static var depth: Int { 256 }
  /// Rows side by side in an array of errors.
  private static var half: Int { 16 }

  private let format: Format
  private let metric: FeedbackMetric
  private let sweeps: Int
  private let columns: Int
  /// e = t - v, [2][columns][16], of targets with the errors of earlier columns fed in.
  private let errors: UnsafeMutablePointer<Float>
  /// e = w - v for descent, likewise; without descent, the memory of `errors`.
  private let remaining: UnsafeMutablePointer<Float>
  /// A panel's targets or gradients, [columns][32], as the product's tiles write them.
  private let tile: UnsafeMutablePointer<Float>
  /// Targets, values, errors and gradients of eight rows' panel, for as many octets as the format takes at a time.
  private let lanes: UnsafeMutablePointer<Lane>
  private let order: UnsafeMutablePointer<UInt8>
  /// [panel][32]
  private let choices: UnsafeMutablePointer<Format.Choice>

  init(_ format: Format, metric: FeedbackMetric, sweeps: Int) {
    (self.format, self.metric, self.sweeps, columns) = (format, metric, sweeps, metric.columns)
    let count = 2 * Self.half * metric.columns
    errors = FloatMemory.allocate(count, mappedFrom: FloatMemory.scratchMappedMinimum)
    errors.update(repeating: 0, count: count)
    if sweeps > 0 {
      remaining = FloatMemory.allocate(count, mappedFrom: FloatMemory.scratchMappedMinimum)
      remaining.update(repeating: 0, count: count)
    } else {
      remaining = errors
    }
    let full = FeedbackMetric.panelColumns
    tile = FloatMemory.allocate((full + FeedbackStorage.tileColumns) * Self.capacity)
    lanes = .allocate(capacity: Format.octets * 4 * full)
    order = .allocate(capacity: metric.columns)
    for position in 0..<metric.columns { order[position] = UInt8(Int(metric.order[position]) % full) }
    choices = .allocate(capacity: metric.storage.panels.count * Self.capacity)
    choices.initialize(repeating: format.blank, count: metric.storage.panels.count * Self.capacity)
  }

  deinit {
    let count = 2 * Self.half * columns
    if remaining != errors { FloatMemory.free(remaining, count, mappedFrom: FloatMemory.scratchMappedMinimum) }
    FloatMemory.free(errors, count, mappedFrom: FloatMemory.scratchMappedMinimum)
    FloatMemory.free(tile, (FeedbackMetric.panelColumns + FeedbackStorage.tileColumns) * Self.capacity)
    lanes.deallocate()
    order.deallocate()
    choices.deallocate()
  }

  /// Encodes `count` rows, at most ``capacity``.
  func encode(_ rows: Floats, count: Int, into blocks: UnsafeMutablePointer<UInt8>, rowBytes: Int) {
    let storage = metric.storage
    for (index, panel) in storage.panels.enumerated() {
      loadTargets(rows, count: count, panel)
      multiply(errors, panel, storage.pointer(panel.far), rows: panel.farRows, count: count, accumulate: true)
      forEachGroup(count, index, panel) { first, views in
        for (octet, view) in zip(first..., views) {
          for c in 0..<panel.width {
            view.targets[c] = cv_clamp(cv_load(tile + c * Self.capacity + 8 * octet), cv_splat(-bound), cv_splat(bound))
          }
        }
        format.encode(views, into: choices + index * Self.capacity + 8 * first)
        for (octet, view) in zip(first..., views) {
          for c in 0..<panel.width { cv_store(slot(errors, octet, panel.start + c), view.errors[c]) }
          guard sweeps > 0 else { continue }
          loadWeights(rows, count: count, octet: octet, panel, into: view.targets)
          for c in 0..<panel.width {
            cv_store(slot(remaining, octet, panel.start + c), view.targets[c] - view.values[c])
          }
        }
      }
    }
    for _ in 0..<sweeps { sweep(rows, count: count) }
    for (index, panel) in storage.panels.enumerated() {
      let offset = panel.start / format.type.blockLength * format.type.blockBytes
      for row in 0..<count {
        format.pack(
          choices[index * Self.capacity + row], columns: panel.width, into: blocks + row * rowBytes + offset)
      }
    }
  }

  /// Chooses every panel again, given all others.
  private func sweep(_ rows: Floats, count: Int) {
    let storage = metric.storage
    for (index, panel) in storage.panels.enumerated() {
      let gram = storage.pointer(panel.gram)
      multiply(remaining, panel, gram, rows: panel.block.width, count: count, accumulate: false)
      forEachGroup(count, index, panel) { first, views in
        for (octet, view) in zip(first..., views) {
          loadWeights(rows, count: count, octet: octet, panel, into: view.targets)
          for c in 0..<panel.width {
            view.gradients[c] = cv_load(tile + c * Self.capacity + 8 * octet)
            view.errors[c] = cv_load(slot(remaining, octet, panel.start + c))
            view.values[c] = view.targets[c] - view.errors[c]
          }
        }
        format.refine(views, choices: choices + index * Self.capacity + 8 * first)
        for (octet, view) in zip(first..., views) {
          for c in 0..<panel.width { cv_store(slot(remaining, octet, panel.start + c), view.errors[c]) }
        }
      }
    }
  }

  /// Eight rows' errors of a column.
  private func slot(_ base: UnsafeMutablePointer<Float>, _ octet: Int, _ position: Int) -> UnsafeMutablePointer<Float> {
    base + (octet / 2 * columns + position) * Self.half + octet % 2 * 8
  }

  /// Calls `body` with the panels of some octets of rows at a time, and with the first octet's index.
  private func forEachGroup(
    _ count: Int, _ index: Int, _ panel: FeedbackStorage.Panel,
    _ body: (Int, UnsafeBufferPointer<FeedbackPanel>) -> Void
  ) {
    let (storage, full) = (metric.storage, FeedbackMetric.panelColumns)
    let octets = (count + 7) / 8
    withUnsafeTemporaryAllocation(of: FeedbackPanel.self, capacity: Format.octets) { views in
      for first in stride(from: 0, to: octets, by: Format.octets) {
        let group = min(Format.octets, octets - first)
        for k in 0..<group {
          let lanes = lanes + k * 4 * full
          views.initializeElement(
            at: k,
            to: FeedbackPanel(
              index: index, columns: panel.width, rows: min(8, count - 8 * (first + k)), column: order + panel.start,
              factor: storage.pointer(panel.near), pivots: storage.pointer(panel.pivots),
              gram: storage.pointer(panel.nearGram), targets: lanes, values: lanes + full, errors: lanes + 2 * full,
              gradients: lanes + 3 * full))
        }
        body(first, UnsafeBufferPointer(rebasing: views[..<group]))
      }
    }
  }

  /// Eight rows' weights of a panel in the order of processing; zeros for rows that do not exist.
  private func loadWeights(
    _ rows: Floats, count: Int, octet: Int, _ panel: FeedbackStorage.Panel, into target: UnsafeMutablePointer<Lane>
  ) {
    let present = min(8, count - 8 * octet)
    let source = rows + 8 * octet * columns + panel.start
    for c in stride(from: 0, to: panel.width, by: 8) {
      let group = source + Int(order[panel.start + c])
      if present == 8 {
        // A group's columns keep their order.
        cv_load_columns(group, columns, target + c)
      } else {
        for i in 0..<8 {
          target[c + i] = Lane(repeating: 0)
          for row in 0..<present { target[c + i][row] = group[row * columns + i] }
        }
      }
    }
  }

  private func loadTargets(_ rows: Floats, count: Int, _ panel: FeedbackStorage.Panel) {
    for octet in 0..<(count + 7) / 8 {
      loadWeights(rows, count: count, octet: octet, panel, into: lanes)
      for c in 0..<panel.width { cv_store(tile + c * Self.capacity + 8 * octet, lanes[c]) }
    }
  }

  /// tile [columns][32] (+)= the first `rows` rows of `matrix`, from the panel's diagonal block on, times errors.
  private func multiply(
    _ source: UnsafeMutablePointer<Float>, _ panel: FeedbackStorage.Panel, _ matrix: UnsafePointer<Float>, rows: Int,
    count: Int, accumulate: Bool
  ) {
    let across = FeedbackStorage.tileColumns
    let isPair = count > Self.half
    let isWide = isPair && cv_has_wide_tiles() != 0
    for start in stride(from: 0, to: rows, by: Self.depth) {
      let k = min(Self.depth, rows - start)
      let adds: Int32 = accumulate || start > 0 ? 1 : 0
      let b = source + (panel.block.start + start) * Self.half
      let gap = columns * Self.half
      for t in 0..<panel.tiles {
        let a = matrix + (t * rows + start) * across
        let target = tile + t * across * Self.capacity
        if isWide {
          cv_tile32(k, a, b, gap, target, Self.capacity, adds, nil)
        } else {
          cv_tile16(k, a, b, target, Self.capacity, adds, nil)
          if isPair { cv_tile16(k, a, b + gap, target + Self.half, Self.capacity, adds, nil) }
        }
      }
    }
  }
}
