import Tensors
import Transformer

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Runs over the vocabulary in tiles and keeps, for every scored position, a running softmax of each model.
///
/// The divergence from the first model comes out of the same pass:
///
///     KL(P || Q) = sum p (ln p - ln q) = sum p (a - b) - lse(a) + lse(b)
///
/// where a and b are logits and lse is their log-sum-exp, so that no position's logits are ever held whole.
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
  ///   - models: a reference and any number of candidates, with the names that messages use.
  ///   - memory: bytes for the tile of logits, and as many for states that have to be loaded.
  ///   - progress: hears of every tile.
  static func run(
    models: [(name: String, source: any LogitSource)], windows: ScoringWindows, memory: Int,
    progress: any RunObserver
  ) throws -> ScoringPass {
    let walk = try VocabularyWalk(
      models, windows: windows, groupRows: loadableRows(models.map(\.source), memory: memory),
      tileRows: VocabularyWalk.tileRows(
        memory: memory, models: models.count, vocabulary: models[0].source.vocabularyCount))
    var pass = ScoringPass(names: models.map(\.name), windows: windows)
    try walk.forEachTile(progress: progress) { try pass.take($0, rows: $1, columns: $2) }
    try pass.checkFinite()
    return pass
  }

  private mutating func take(_ tile: LogitTile, rows: Range<Int>, columns: Range<Int>) throws {
    let models = names.count
    let targets = windows.targets
    let place = rows.lowerBound * models..<rows.upperBound * models
    var part = Array(states[place])
    var span = part.mutableSpan
    try parallelRows(of: &span, rowLength: models, grain: 8) { range, slice in
      let count = columns.count
      withScratch(count) { weights in
        for row in range {
          let own = (row - range.lowerBound) * models
          let target = Int(targets[rows.lowerBound + row])
          let a = tile.row(row, model: 0, rows: rows.count, columns: count)
          let factor = slice[own].raise(a, count, first: columns.lowerBound)
          slice[own].sum = slice[own].sum * factor + exponentials(a, count, peak: slice[own].peak, into: weights)
          if columns.contains(target) { slice[own].target = a[target - columns.lowerBound] }
          for model in 1..<max(1, models) {
            let b = tile.row(row, model: model, rows: rows.count, columns: count)
            let shrink = slice[own + model].raise(b, count, first: columns.lowerBound)
            let terms = divergenceTerms(
              weights: weights, reference: a, candidate: b, count, peak: slice[own + model].peak)
            slice[own + model].sum = slice[own + model].sum * shrink + terms.sum
            slice[own + model].difference = slice[own + model].difference * factor + terms.difference
            if columns.contains(target) { slice[own + model].target = b[target - columns.lowerBound] }
          }
        }
      }
    }
    states.replaceSubrange(place, with: part)
  }

  private func checkFinite() throws {
    for (index, state) in states.enumerated() where !(state.logSum.isFinite && state.difference.isFinite) {
      let place = windows.place(ofRow: index / names.count)
      throw ScoringError.nonFiniteLogits(
        model: names[index % names.count], window: place.window, position: place.position)
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

  /// The same where the reference's logits are log-probabilities to be taken as they are, though they don't add up to 1.
  func storedDivergences(model: Int) -> [Double] {
    stride(from: 0, to: states.count, by: names.count).map { row in
      exp(Double(states[row].peak)) * (states[row + model].difference + states[row].sum * states[row + model].logSum)
    }
  }

  /// Whether reference and model agree on the likeliest token.
  func sameTops(model: Int) -> [Bool] {
    stride(from: 0, to: states.count, by: names.count).map { states[$0].top == states[$0 + model].top }
  }
}
