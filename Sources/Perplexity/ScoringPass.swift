import Tensors
import Transformer

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A pass over tiles of the vocabulary with a running softmax of each model at every scored position.
///
/// The same pass gives the divergence from the first model:
///
///     KL(P || Q) = sum p (ln p - ln q) = sum p (a - b) - lse(a) + lse(b)
///
/// where a and b are logits and lse is their log-sum-exp. The logits of a position are never stored completely.
struct ScoringPass {
  let names: [String]
  let windows: ScoringWindows
  /// [rows, models]
  private(set) var states: [RunningSoftmax]

  private init(names: [String], windows: ScoringWindows) {
    self.names = names
    self.windows = windows
    states = Array(repeating: RunningSoftmax(), count: windows.rowCount * names.count)
  }

  /// Scores all models.
  ///
  /// - Parameters:
  ///   - models: the reference and the candidates, with their names in messages.
  ///   - memory: bytes for the tile of logits, and the same amount for states that must be loaded.
  ///   - progress: is told of every tile.
  static func run(
    models: [(name: String, source: any LogitSource)], windows: ScoringWindows, memory: Int,
    progress: any RunObserver
  ) throws -> ScoringPass {
    let walk = try VocabularyWalk(
      models, windows: windows, groupRows: loadableRows(models.map(\.source), memory: memory),
      tileRows: VocabularyWalk.tileRows(
        memory: memory, models: models.count, vocabulary: models[0].source.vocabularyCount))
    var pass = ScoringPass(names: models.map(\.name), windows: windows)
    try walk.forEachTile(progress: progress) { try pass.accumulate($0, rows: $1, columns: $2) }
    try pass.checkFinite()
    return pass
  }

  private mutating func accumulate(_ tile: LogitTile, rows: Range<Int>, columns: Range<Int>) throws {
    let models = names.count
    let targets = windows.targets
    let slots = rows.lowerBound * models..<rows.upperBound * models
    var group = Array(states[slots])
    var span = group.mutableSpan
    try parallelRows(of: &span, rowLength: models, grain: 8) { range, slice in
      let count = columns.count
      withScratch(count) { weights in
        for row in range {
          let base = (row - range.lowerBound) * models
          let target = Int(targets[rows.lowerBound + row])
          let a = tile.row(row, model: 0, rows: rows.count, columns: count)
          let factor = slice[base].updateMax(a, count, first: columns.lowerBound)
          slice[base].sum = slice[base].sum * factor + exponentials(a, count, peak: slice[base].peak, into: weights)
          if columns.contains(target) { slice[base].target = a[target - columns.lowerBound] }
          for model in 1..<max(1, models) {
            let b = tile.row(row, model: model, rows: rows.count, columns: count)
            let shrink = slice[base + model].updateMax(b, count, first: columns.lowerBound)
            let terms = divergenceTerms(
              weights: weights, reference: a, candidate: b, count, peak: slice[base + model].peak)
            slice[base + model].sum = slice[base + model].sum * shrink + terms.sum
            slice[base + model].difference = slice[base + model].difference * factor + terms.difference
            if columns.contains(target) { slice[base + model].target = b[target - columns.lowerBound] }
          }
        }
      }
    }
    states.replaceSubrange(slots, with: group)
  }

  private func checkFinite() throws {
    for (index, state) in states.enumerated() where !(state.logSum.isFinite && state.difference.isFinite) {
      let location = windows.location(ofRow: index / names.count)
      throw ScoringError.nonFiniteLogits(
        model: names[index % names.count], window: location.window, position: location.position)
    }
  }

  /// -ln of each target's probability under model number `model`, in nats.
  func losses(model: Int) -> [Double] {
    stride(from: model, to: states.count, by: names.count).map { states[$0].loss }
  }

  /// KL(reference || model) at each position, in nats.
  func divergences(model: Int) -> [Double] {
    stride(from: 0, to: states.count, by: names.count).map { row in
      let a = states[row]
      let b = states[row + model]
      return b.difference / a.sum - a.logSum + b.logSum
    }
  }

  /// KL(reference || model) if the reference's logits are log-probabilities that are not normalised again, although
  /// they do not sum to 1.
  func storedDivergences(model: Int) -> [Double] {
    stride(from: 0, to: states.count, by: names.count).map { row in
      exp(Double(states[row].peak)) * (states[row + model].difference + states[row].sum * states[row + model].logSum)
    }
  }

  /// Whether reference and model have the same likeliest token, at each position.
  func sameTops(model: Int) -> [Bool] {
    stride(from: 0, to: states.count, by: names.count).map { states[$0].top == states[$0 + model].top }
  }
}
