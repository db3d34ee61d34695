import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures the drift of a model's mixes.
package protocol MixMeasuring {
  /// The drift of each mix (types in the source's order) from the source.
  ///
  /// - Parameter progress: its steps are layers.
  func drifts(of mixes: [[GGMLType]], windows: ScoringWindows, progress: any RunObserver) throws -> [Drift]
}

extension MixMeasuring {
  package func drifts(of mixes: [[GGMLType]], windows: ScoringWindows) throws -> [Drift] {
    try drifts(of: mixes, windows: windows, progress: NoObserver())
  }
}

/// Runs mixes of one model side by side and measures the drift of each, without writing a file. A probe is a mix that
/// differs from the source in a few tensors.
package final class MixTrials: MixMeasuring {
  package let source: any ModelSource
  private let importance: Importance?
  private let pass: ForwardPass
  private let encoded: EncodedTensors?
  private let feedback: FeedbackFactors?
  /// Seconds of a whole mix on one window, by the slowest measurement so far; nil before the first.
  private(set) var windowSeconds: Double?

  /// - Parameters:
  ///   - keepsEncoded: whether to keep encoded tensors in memory, for other mixes that contain them.
  ///   - feedback: estimates the drift of mixes that are written with error feedback: tensors are rounded without, and the
  ///     difference from their weights is reduced until its square has the part that feedback leaves.
  package init(
    source: any ModelSource, importance: Importance?, options: ForwardOptions, keepsEncoded: Bool = true,
    feedback: FeedbackFactors? = nil
  ) throws {
    self.source = source
    self.importance = importance
    self.feedback = feedback
    pass = try ForwardPass(source: source, options: options)
    encoded = keepsEncoded ? EncodedTensors() : nil
  }

  package func drifts(
    of mixes: [[GGMLType]], windows: ScoringWindows, progress: any RunObserver
  ) throws -> [Drift] {
    try drifts(of: mixes, beside: [], windows: windows, progress: progress)
  }

  /// The weights of a variant in a layer; equal for variants that share them.
  private struct Key: Hashable {
    var types: [GGMLType]
    /// Index of a file; nil for a mix.
    var file: Int?
  }

  /// The drift of each file, then of each mix.
  ///
  /// - Parameter files: models with the source's tensors, in any types.
  package func drifts(
    of mixes: [[GGMLType]], beside files: [any ModelSource], windows: ScoringWindows, progress: any RunObserver
  ) throws -> [Drift] {
    let start = ContinuousClock.now
    defer {
      let seconds = Double((ContinuousClock.now - start) / .seconds(1))
      windowSeconds = max(windowSeconds ?? 0, seconds / Double((mixes.count + files.count + 1) * windows.windows.count))
    }
    // Index 0 is the reference.
    let unchanged = source.tensors.map(\.type)
    let all = [unchanged] + files.map { _ in unchanged } + mixes
    func file(_ variant: Int) -> Int? { files.indices.contains(variant - 1) ? variant - 1 : nil }
    let shares = try pass.sideShares(windows: windows.windows, copies: all.count)
    encoded?.allow(shares.encoded)
    let tensors = Dictionary(grouping: source.tensors.indices) { source.tensors[$0].layer }
    func mixed(_ variant: Int, _ layer: Int?) throws -> any ModelSource {
      if let file = file(variant) { return WrittenModel(base: source, file: files[file]) }
      var types: [String: GGMLType] = [:]
      var remainders: [String: Float] = [:]
      for index in tensors[layer] ?? [] where all[variant][index] != source.tensors[index].type {
        try encoded?.prepare(source.tensors[index], as: all[variant][index], of: source, importance)
        types[source.tensors[index].name] = all[variant][index]
        if let factor = feedback?.factor(of: source.tensors[index], as: all[variant][index]), factor != 1 {
          remainders[source.tensors[index].name] = Float(factor.squareRoot())
        }
      }
      return MixedSource(base: source, types: types, remainders: remainders, importance: importance, encoded: encoded)
    }
    // Hidden states depend on no tensor outside layers but the embedding.
    let embeddings = (tensors[nil] ?? []).filter { source.tensors[$0].role == .tokenEmbedding }
    let states = try Branches(pass: pass, windows: windows.windows).run(variants: all.count, progress: progress) {
      variant, layer in
      Key(types: (layer == nil ? embeddings : tensors[layer] ?? []).map { all[variant][$0] }, file: file(variant))
    } source: {
      try mixed($0, $1)
    }
    let reference = try pass.finish(states[0], scored: windows.scored)
    // As many at a time as fit their share of the memory, less one for the reference.
    let each = max(1, windows.rowCount * pass.decoder.width * 4)
    let share = max(1, shares.compared / each - 1)
    var result: [Drift] = []
    for start in stride(from: 1, to: all.count, by: share) {
      let candidates = try (start..<min(all.count, start + share)).map { variant in
        (
          name: "mix \(variant)",
          source: try pass.finish(states[variant], scored: windows.scored, source: try mixed(variant, nil))
            as any LogitSource
        )
      }
      result += try Drift.measure(
        base: (source.name, reference), candidates: candidates, windows: windows, memory: shares.logits)
    }
    return result
  }
}
