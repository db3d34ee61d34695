import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures the drift that rounding a group of tensors causes, end to end.
///
/// Probes run layer-major and side by side: a probe of layers i to j starts from the reference's hidden states before
/// layer i; in a layer that it does not round it shares the reading of the weights with the reference and all other
/// probes; and all are scored in one pass over the output head. States of many probes that exceed the memory are
/// spilled.
public struct Probes {
  public let source: any ModelSource
  public let importance: Importance?
  public let windows: ScoringWindows
  public var options: ForwardOptions
  /// The type that tensors are rounded to. Low enough to stand out from arithmetic noise, high enough that the errors of
  /// several tensors still add up.
  public var type: GGMLType = .q3_K

  public init(
    source: any ModelSource, importance: Importance?, windows: ScoringWindows, options: ForwardOptions
  ) {
    self.source = source
    self.importance = importance
    self.windows = windows
    self.options = options
  }

  /// A probe on its way through the layers.
  private struct Running {
    let index: Int
    var states: HiddenStates
    /// The output norm and head are read from here.
    var head: (any ModelSource)?
  }

  /// The type that a probe gives a tensor.
  func probeType(_ tensor: TensorInfo) -> GGMLType {
    let fitting = type.fitting(columns: tensor.shape.columns)
    return fitting.canEncode ? fitting : .q8_0
  }

  private func mixed(_ group: ProbeGroup, layer: Int? = nil) -> MixedSource {
    let tensors = group.tensors.filter { layer == nil || $0.layer == layer }
    return MixedSource(
      base: source, types: Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, probeType($0)) }),
      importance: importance)
  }

  /// KL divergence in nats of every group, in their order.
  ///
  /// - Parameter progress: called with the layers done, of how many; may throw to stop.
  func divergences(of groups: [ProbeGroup], progress: (Int, Int) throws -> Void) throws -> [Double] {
    let pass = try ForwardPass(source: source, options: options)
    let copies = groups.count + 1
    var base = try pass.embed(windows.windows, copies: copies)
    var running: [Running] = []
    for (index, group) in groups.enumerated() where group.tensors[0].role == .tokenEmbedding {
      // A tied head is rounded with the embedding.
      let rounded = mixed(group)
      running.append(
        Running(
          index: index, states: try pass.embed(windows.windows, copies: copies, source: rounded), head: rounded))
    }
    let layers = pass.decoder.layerCount
    for layer in 0..<layers {
      for (index, group) in groups.enumerated() where group.layers.contains(layer) {
        let place: Int
        if let known = running.firstIndex(where: { $0.index == index }) {
          place = known
        } else {
          running.append(Running(index: index, states: base))
          place = running.count - 1
        }
        try pass.layer(layer, &running[place].states, source: mixed(group, layer: layer))
      }
      let sharing = running.indices.filter { !groups[running[$0].index].layers.contains(layer) }
      var together = [base] + sharing.map { running[$0].states }
      // Moved rather than copied: states that nobody else holds are changed where they lie.
      for index in sharing { running[index].states = base }
      let before = base
      base = together[0]
      try pass.layer(layer, &together)
      withExtendedLifetime(before) {}
      base = together[0]
      for (place, index) in sharing.enumerated() { running[index].states = together[place + 1] }
      try progress(layer + 1, layers)
    }
    let known = Set(running.map(\.index))
    for (index, group) in groups.enumerated() where !known.contains(index) {
      running.append(Running(index: index, states: base, head: mixed(group)))
    }
    var result = [Double](repeating: 0, count: groups.count)
    let reference = try pass.finish(base, scored: windows.scored)
    // As many at a time as a quarter of the memory holds.
    let each = max(1, windows.rowCount * pass.decoder.width * 4)
    let share = max(1, options.memory / 4 / each)
    for start in stride(from: 0, to: running.count, by: share) {
      let part = running[start..<min(running.count, start + share)]
      let drifts = try Drift.measure(
        base: (name: source.name, source: reference),
        candidates: try part.map { probe in
          (
            name: groups[probe.index].name,
            source: try pass.finish(probe.states, scored: windows.scored, source: probe.head)
          )
        }, windows: windows, memory: options.scoringMemory)
      for (probe, drift) in zip(part, drifts) {
        // The mean of a divergence is never negative; arithmetic noise around zero may be.
        result[probe.index] = max(0, drift.divergences.reduce(0, +) / Double(max(1, drift.positions)))
      }
    }
    return result
  }
}
