import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures the drift of a model's mixes.
public protocol MixMeasuring {
  /// The drift of each mix (types in the source's order) from the source.
  ///
  /// - Parameter progress: its steps are layers.
  func drifts(of mixes: [[GGMLType]], windows: ScoringWindows, progress: any RunObserver) throws -> [Drift]
}

extension MixMeasuring {
  public func drifts(of mixes: [[GGMLType]], windows: ScoringWindows) throws -> [Drift] {
    try drifts(of: mixes, windows: windows, progress: NoObserver())
  }
}

/// Runs mixes of one model side by side and measures the drift of each, without writing a file. A probe is a mix that
/// differs from the source in a few tensors.
public final class MixTrials: MixMeasuring {
  public let source: any ModelSource
  private let importance: Importance?
  private let pass: ForwardPass
  private let encoded: EncodedTensors?

  /// - Parameter keepsEncoded: whether to keep encoded tensors in memory, for other mixes that contain them.
  public init(
    source: any ModelSource, importance: Importance?, options: ForwardOptions, keepsEncoded: Bool = true
  ) throws {
    self.source = source
    self.importance = importance
    pass = try ForwardPass(source: source, options: options)
    encoded = keepsEncoded ? EncodedTensors() : nil
  }

  public func drifts(
    of mixes: [[GGMLType]], windows: ScoringWindows, progress: any RunObserver
  ) throws -> [Drift] {
    // Index 0 is the reference.
    let all = [source.tensors.map(\.type)] + mixes
    let shares = try pass.sideShares(windows: windows.windows, copies: all.count)
    encoded?.allow(shares.encoded)
    let tensors = Dictionary(grouping: source.tensors.indices) { source.tensors[$0].layer }
    func mixed(_ variant: Int, _ layer: Int?) throws -> MixedSource {
      var types: [String: GGMLType] = [:]
      for index in tensors[layer] ?? [] where all[variant][index] != source.tensors[index].type {
        try encoded?.prepare(source.tensors[index], as: all[variant][index], of: source, importance)
        types[source.tensors[index].name] = all[variant][index]
      }
      return MixedSource(base: source, types: types, importance: importance, encoded: encoded)
    }
    // Hidden states depend on no tensor outside layers but the embedding.
    let embeddings = (tensors[nil] ?? []).filter { source.tensors[$0].role == .tokenEmbedding }
    let states = try Branches(pass: pass, windows: windows.windows).run(variants: all.count, progress: progress) {
      variant, layer in
      (layer == nil ? embeddings : tensors[layer] ?? []).map { all[variant][$0] }
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
