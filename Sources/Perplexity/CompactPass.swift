import Tensors
import Transformer

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Compares models with a compact reference, in tiles of the vocabulary like ``ScoringPass``.
///
/// With p the reference and q the model at a position, T the tail and S the sample of the tail:
///
///     KL = sum over kept p (ln p - ln q) + mass(T) / |S| * sum over S (ln p - ln q)
struct CompactPass {
  private let windows: ScoringWindows
  /// The index of each row in the reference.
  private let referenceRows: [Int]
  private let names: [String]
  private(set) var drifts: [Drift]

  /// The sums at one position for one model.
  private struct State: BitwiseCopyable {
    var softmax = RunningSoftmax()
    /// Over the kept tokens: the sum of p (ln p - b), with b the model's logits, and the sum of e^(b - peak).
    var difference = 0.0
    var inside = 0.0
    /// Over the sample: the sums of ln p - b and of its square.
    var gap = 0.0
    var square = 0.0
    var lowest = Float.infinity
  }

  private init(_ reference: CompactReference, windows chosen: [Int]?, names: [String]) {
    windows = chosen.map(reference.windows.selecting) ?? reference.windows
    referenceRows = (chosen ?? Array(reference.windows.windows.indices)).flatMap {
      Array(reference.windows.rows(ofWindows: $0..<$0 + 1))
    }
    self.names = names
    let empty = Drift(divergences: [], baseLosses: [], losses: [], sameTops: [])
    drifts = Array(repeating: empty, count: names.count)
  }

  /// Measures the drift of every candidate.
  ///
  /// - Parameters:
  ///   - chosen: the indices of the reference's windows over which the candidates have run; nil for all.
  ///   - memory: bytes, half for rows of the reference and half for the tile of logits; the same amount again for
  ///     states that must be loaded.
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
        kept = try reference.rows(at: pass.referenceRows[group])
        states = [State](repeating: State(), count: kept.count * candidates.count)
        first = group.lowerBound
      },
      body: { tile, rows, columns in
        let groupRows = rows.lowerBound - first..<rows.upperBound - first
        try pass.accumulate(tile, groupRows, columns, kept, &states, firstRow: first)
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

  private func accumulate(
    _ tile: LogitTile, _ rows: Range<Int>, _ columns: Range<Int>, _ kept: [ReferenceRow], _ states: inout [State],
    firstRow: Int
  ) throws {
    let models = names.count
    let targets = windows.targets
    let slots = rows.lowerBound * models..<rows.upperBound * models
    var slice = Array(states[slots])
    var span = slice.mutableSpan
    try parallelRows(of: &span, rowLength: models, grain: 8) { range, slice in
      withScratch(columns.count) { scratch in
        for row in range {
          let reference = kept[rows.lowerBound + row]
          let target = Int(targets[firstRow + rows.lowerBound + row])
          for model in 0..<models {
            let b = tile.row(row, model: model, rows: rows.count, columns: columns.count)
            var state = slice[(row - range.lowerBound) * models + model]
            let shrink = state.softmax.updateMax(b, columns.count, first: columns.lowerBound)
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
    states.replaceSubrange(slots, with: slice)
  }

  /// Adds the results of one position.
  private mutating func append(_ reference: ReferenceRow, _ state: State, model: Int, row: Int) throws {
    let logSum = state.softmax.logSum
    guard logSum.isFinite, state.lowest.isFinite else {
      let location = windows.location(ofRow: row)
      throw ScoringError.nonFiniteLogits(model: names[model], window: location.window, position: location.position)
    }
    let mass = reference.losses.reduce(0.0) { $0 + exp(-Double($1) * ReferenceRow.unit) }
    let tail = Double(reference.tailMass)
    let count = Double(reference.sampleTokens.count)
    let kept = state.difference + mass * logSum
    var variance = 0.0
    var sampled = 0.0
    if count > 0 {
      sampled = tail * (state.gap / count + logSum)
      let spread = max(0, state.square / count - (state.gap / count) * (state.gap / count))
      variance = tail * tail * spread / max(1, count - 1)
    }
    // Merging the tail into one group can only reduce the divergence. 3e-7 is the rounding error of the sums.
    let share = max(0, 1 - state.inside / state.softmax.sum) + 3e-7
    let grouped = tail > 0 ? tail * log(tail / share) : 0
    // A token of the tail is at most as likely as the least likely kept token. The model gives it at least the lowest
    // logit.
    let ceiling = -Double(reference.losses.max() ?? 0) * ReferenceRow.unit
    let worst = tail * (ceiling - Double(state.lowest) + logSum)
    drifts[model].append(
      divergence: kept + sampled, baseLoss: -Double(reference.target), loss: logSum - Double(state.softmax.target),
      sameTop: reference.top == state.softmax.top,
      tail: Drift.Tail(variance: variance, least: kept + grouped, most: kept + worst))
  }
}

/// Calls `body` with the index and the column of every token in `columns`. Tokens must ascend.
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
