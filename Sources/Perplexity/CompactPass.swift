import Tensors
import Transformer

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Compares models with a compact reference, in tiles of the vocabulary as ``ScoringPass`` does.
///
/// With p the reference and q the model at a position, T the tail and S the sample of it:
///
///     KL = sum over kept p (ln p - ln q) + mass(T) / |S| * sum over S (ln p - ln q)
struct CompactPass {
  private let windows: ScoringWindows
  /// Of each row, its place in the reference.
  private let places: [Int]
  private let names: [String]
  private(set) var drifts: [Drift]

  /// What is summed at one position for one model.
  private struct State: BitwiseCopyable {
    var softmax = RunningSoftmax()
    /// Over the kept tokens: sum of p (ln p - b) with b the model's logits, and of e^(b - peak).
    var difference = 0.0
    var inside = 0.0
    /// Over the sample: sums of ln p - b and of its square.
    var gap = 0.0
    var square = 0.0
    var lowest = Float.infinity
  }

  private init(_ reference: CompactReference, windows chosen: [Int]?, names: [String]) {
    windows = chosen.map(reference.windows.selecting) ?? reference.windows
    places = (chosen ?? Array(reference.windows.windows.indices)).flatMap {
      Array(reference.windows.rows(ofWindows: $0..<$0 + 1))
    }
    self.names = names
    let empty = Drift(divergences: [], baseLosses: [], losses: [], sameTops: [])
    drifts = Array(repeating: empty, count: names.count)
  }

  /// The drift of every candidate.
  ///
  /// - Parameters:
  ///   - chosen: the reference's windows that the candidates have run over; nil for all.
  ///   - memory: bytes, half of them for rows of the reference and half for the tile of logits; as many for states that
  ///     have to be loaded.
  static func run(
    _ reference: CompactReference, windows chosen: [Int]?, candidates: [(name: String, source: any LogitSource)],
    memory: Int, progress: any RunObserver
  ) throws -> [Drift] {
    var pass = CompactPass(reference, windows: chosen, names: candidates.map(\.name))
    let vocabulary = reference.vocabularyCount
    let walk = try VocabularyWalk(
      candidates, reference: (reference.provenance.model, vocabulary), windows: pass.windows,
      groupRows: min(
        reference.rowsPerGroup(memory: memory / 2), loadableRows(candidates.map(\.source), memory: memory)),
      tileRows: VocabularyWalk.tileRows(memory: memory / 2, models: candidates.count, vocabulary: vocabulary))
    var kept: [ReferenceRow] = []
    var states: [State] = []
    var first = 0
    try walk.forEachTile(
      progress: progress,
      begin: { group in
        kept = try reference.rows(at: pass.places[group])
        states = [State](repeating: State(), count: kept.count * candidates.count)
        first = group.lowerBound
      },
      body: { tile, rows, columns in
        let part = rows.lowerBound - first..<rows.upperBound - first
        try pass.take(tile, part, columns, kept, &states, firstRow: first)
      },
      end: { group in
        for model in candidates.indices {
          for (offset, row) in kept.enumerated() {
            try pass.append(
              row, states[offset * candidates.count + model], model: model, row: group.lowerBound + offset)
          }
        }
      })
    return pass.drifts
  }

  private func take(
    _ tile: LogitTile, _ part: Range<Int>, _ columns: Range<Int>, _ kept: [ReferenceRow], _ states: inout [State],
    firstRow: Int
  ) throws {
    let models = names.count
    let targets = windows.targets
    let place = part.lowerBound * models..<part.upperBound * models
    var slice = Array(states[place])
    var span = slice.mutableSpan
    try parallelRows(of: &span, rowLength: models, grain: 8) { range, slice in
      withScratch(columns.count) { scratch in
        for row in range {
          let reference = kept[part.lowerBound + row]
          let target = Int(targets[firstRow + part.lowerBound + row])
          for model in 0..<models {
            let b = tile.row(row, model: model, rows: part.count, columns: columns.count)
            var state = slice[(row - range.lowerBound) * models + model]
            let shrink = state.softmax.raise(b, columns.count, first: columns.lowerBound)
            state.softmax.sum =
              state.softmax.sum * shrink + exponentials(b, columns.count, peak: state.softmax.peak, into: scratch)
            state.inside *= shrink
            state.lowest = min(state.lowest, smallest(b, columns.count))
            if columns.contains(target) { state.softmax.target = b[target - columns.lowerBound] }
            forEach(reference.tokens, in: columns) { index, column in
              let logP = -Double(reference.losses[index]) * ReferenceRow.unit
              state.difference += exp(logP) * (logP - Double(b[column]))
              state.inside += Double(scratch[column])
            }
            forEach(reference.sampleTokens, in: columns) { index, column in
              let gap = -Double(reference.sampleLosses[index]) * ReferenceRow.unit - Double(b[column])
              state.gap += gap
              state.square += gap * gap
            }
            slice[(row - range.lowerBound) * models + model] = state
          }
        }
      }
    }
    states.replaceSubrange(place, with: slice)
  }

  /// Adds what one position came to.
  private mutating func append(_ reference: ReferenceRow, _ state: State, model: Int, row: Int) throws {
    let logSum = state.softmax.logSum
    guard logSum.isFinite, state.lowest.isFinite else {
      let place = windows.place(ofRow: row)
      throw ScoringError.nonFiniteLogits(model: names[model], window: place.window, position: place.position)
    }
    let mass = reference.losses.reduce(0.0) { $0 + exp(-Double($1) * ReferenceRow.unit) }
    let tail = Double(reference.tailMass)
    let count = Double(reference.sampleTokens.count)
    let kept = state.difference + mass * logSum
    var variance = 0.0
    var rest = 0.0
    if count > 0 {
      rest = tail * (state.gap / count + logSum)
      let spread = max(0, state.square / count - (state.gap / count) * (state.gap / count))
      variance = tail * tail * spread / max(1, count - 1)
    }
    // One group of the whole tail can only be closer; 3e-7 is the rounding of the sums that its share comes from.
    let share = max(0, 1 - state.inside / state.softmax.sum) + 3e-7
    let grouped = tail > 0 ? tail * log(tail / share) : 0
    // No token of the tail is likelier than the least of the kept, nor less likely to the model than its lowest.
    let ceiling = -Double(reference.losses.max() ?? 0) * ReferenceRow.unit
    let worst = tail * (ceiling - Double(state.lowest) + logSum)
    drifts[model].append(
      divergence: kept + rest, baseLoss: -Double(reference.target), loss: logSum - Double(state.softmax.target),
      sameTop: reference.top == state.softmax.top,
      tail: Drift.Tail(variance: variance, least: kept + grouped, most: kept + worst))
  }
}

/// Calls `body` with the index and the column of every token that lies in `columns`. Tokens ascend.
private func forEach(_ tokens: [Int32], in columns: Range<Int>, _ body: (_ index: Int, _ column: Int) -> Void) {
  var low = 0
  var high = tokens.count
  while low < high {
    let middle = (low + high) / 2
    if Int(tokens[middle]) < columns.lowerBound { low = middle + 1 } else { high = middle }
  }
  while low < tokens.count, Int(tokens[low]) < columns.upperBound {
    body(low, Int(tokens[low]) - columns.lowerBound)
    low += 1
  }
}
