import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures, for every tensor that a quantizer may change, the drift that rounding it alone causes.
///
/// Probes run layer-major: a probe of layer i starts from the reference's hidden states before layer i, and all probes
/// are scored in one pass over the output head.
public struct Probes {
  public let source: any ModelSource
  public let importance: Importance?
  public let windows: ScoringWindows
  public var options: ForwardOptions
  /// The type that every tensor is rounded to. Low enough to stand out from arithmetic noise, high enough that the
  /// errors of several tensors still add up.
  public var type: GGMLType = .q3_K
  public var errors = RelativeErrors()

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
    let tensor: TensorInfo
    var states: HiddenStates
    /// The output norm and head are read from here.
    var head: (any ModelSource)?
  }

  /// The steps that ``measure(types:progress:)`` counts.
  public var steps: Int { 2 * source.tensors.count { $0.isQuantizable } }

  /// - Parameters:
  ///   - types: the menu whose errors are measured.
  ///   - progress: called with the steps done, of ``steps``; may throw to stop.
  /// - Throws: `ForwardError`, `ScoringError`, `QuantizeError`, and what reading the source throws.
  public func measure(types: [GGMLType], progress: (Int, String) throws -> Void) throws -> SensitivityTable {
    var done = 0
    func step(_ detail: String) throws {
      done += 1
      try progress(done, detail)
    }
    let tensors = source.tensors.filter(\.isQuantizable)
    var errors: [String: [GGMLType: Double]] = [:]
    for tensor in tensors {
      errors[tensor.name] = try self.errors.measure(
        tensor, of: source, types: Array(Set(types + [probeType(tensor)])).sorted { $0.rawValue < $1.rawValue },
        importance: importance?(tensor))
      try step("errors of \(tensor.name)")
    }
    let divergences = try self.divergences(of: tensors, step)
    return SensitivityTable(
      model: source.name, probeTokens: windows.windows.count * windows.context, scoredPositions: windows.rowCount,
      entries: tensors.map { tensor in
        let type = probeType(tensor)
        return SensitivityTable.Entry(
          tensor: tensor.name, dimensions: tensor.shape.dimensions, probe: type.name,
          divergence: divergences[tensor.name] ?? 0, probeError: errors[tensor.name]?[type] ?? 0,
          errors: Dictionary(uniqueKeysWithValues: (errors[tensor.name] ?? [:]).map { ($0.key.name, $0.value) }))
      })
  }

  private func probeType(_ tensor: TensorInfo) -> GGMLType {
    let fitting = type.fitting(columns: tensor.shape.columns)
    return fitting.canEncode ? fitting : .q8_0
  }

  private func probe(_ tensor: TensorInfo) -> ProbeSource {
    ProbeSource(base: source, probed: tensor, type: probeType(tensor), importance: importance?(tensor))
  }

  /// KL divergence in nats by tensor name.
  private func divergences(of tensors: [TensorInfo], _ step: (String) throws -> Void) throws -> [String: Double] {
    let pass = try ForwardPass(source: source, options: options)
    var base = try pass.embed(windows.windows)
    var running: [Running] = []
    for tensor in tensors where tensor.role == .tokenEmbedding {
      let probed = probe(tensor)
      let embedding = try ForwardPass(source: probed, options: options).embed(windows.windows)
      // A tied head is rounded with the embedding.
      running.append(Running(tensor: tensor, states: embedding, head: probed))
    }
    for layer in 0..<pass.decoder.layerCount {
      for index in running.indices { try pass.layer(layer, &running[index].states) }
      for tensor in tensors where tensor.layer == layer {
        var states = base
        try pass.layer(layer, &states, source: probe(tensor))
        running.append(Running(tensor: tensor, states: states))
        try step("probe of \(tensor.name)")
      }
      try pass.layer(layer, &base)
    }
    let known = Set(running.map(\.tensor.name))
    for tensor in tensors where !known.contains(tensor.name) {
      running.append(Running(tensor: tensor, states: base, head: probe(tensor)))
    }
    let reference = try pass.finish(base, scored: windows.scored)
    let candidates = try running.map { probe in
      (name: probe.tensor.name, source: try pass.finish(probe.states, scored: windows.scored, source: probe.head))
    }
    let drifts = try Drift.measure(
      base: (name: source.name, source: reference), candidates: candidates.map { (name: $0.name, source: $0.source) },
      windows: windows)
    for tensor in tensors where tensor.layer == nil { try step("probe of \(tensor.name)") }
    return Dictionary(
      uniqueKeysWithValues: zip(candidates, drifts).map { candidate, drift in
        // The mean of a divergence is never negative; arithmetic noise around zero may be.
        (candidate.name, max(0, drift.divergences.reduce(0, +) / Double(max(1, drift.positions))))
      })
  }
}
