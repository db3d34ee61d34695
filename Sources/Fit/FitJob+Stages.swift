import Blocks
import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors
import Tokenizers
import Transformer

/// The input of a stage of a job, and its estimated time on this machine.
public struct StageEstimate: Sendable, Equatable {
  public enum Stage: String, Sendable, CaseIterable {
    case importance, errors, probes, search, comparison, encoding
    /// The pass of error feedback, which encodes.
    case feedback
  }

  public let stage: Stage
  /// Bytes of weights that one pass reads.
  public let bytes: Int
  /// Tokens of text that one pass runs.
  public let tokens: Int
  /// Seconds; those of probes and search are what the budget allows at most.
  public let seconds: Double
  /// The budget ends the stage.
  public let isBound: Bool
  /// The pass of error feedback; nil for other stages.
  public internal(set) var feedback: FeedbackWork?
}

extension FitJob {
  /// The stages that the job will run, in order.
  ///
  /// Times follow from a tenth of a second of products, from reading and decoding a hundredth of the weights, and from
  /// encoding some weights in every type. The types of the file are expected from the prior and from the mean errors of
  /// types. That of error feedback is for the type whose bits are nearest to the target's. What an earlier run has left in
  /// the workspace is not considered.
  public func stages() throws -> [StageEstimate] {
    let quantizable = source.tensors.filter(\.isQuantizable)
    let types = SensitivityTable.types(of: source, hasImportance: !importanceInput.isNothing)
    let seconds = Dictionary(uniqueKeysWithValues: try types.map { ($0, try EncodingSpeed.seconds(of: $0)) })
    let all = types.reduce(0) { $0 + (seconds[$1] ?? 0) }
    let weights = quantizable.reduce(0) { $0 + $1.shape.count }
    func stored(_ tensors: [TensorInfo]) -> Int { tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) } }
    let bytes = stored(source.tensors)
    func errors(_ limit: Int) -> StageEstimate {
      let sampled = quantizable.reduce(0) { $0 + min($1.shape.count, limit) }
      return StageEstimate(
        stage: .errors, bytes: weights > 0 ? Int(Double(stored(quantizable)) * Double(sampled) / Double(weights)) : 0,
        tokens: 0, seconds: Double(sampled) * all, isBound: false)
    }
    let mean = all / Double(max(1, types.count))
    let expected = try expectedTypes(types)
    let encoded = source.tensors.enumerated().reduce(0.0) { sum, one in
      guard let type = expected?[one.offset] else {
        return sum + (one.element.isQuantizable ? mean : 0) * Double(one.element.shape.count)
      }
      return sum + (type == one.element.type ? 0 : Double(one.element.shape.count) * (seconds[type] ?? mean))
    }
    let encoding = StageEstimate(stage: .encoding, bytes: bytes, tokens: 0, seconds: encoded, isBound: false)
    guard runsModel, let text else {
      return (given == nil ? [errors(RelativeErrors.minimumWeights)] : []) + [try feedbackStage() ?? encoding]
    }
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    let pass = try ForwardPass(source: source, options: settings.forward)
    let window = try pass.estimatedSeconds(try pass.plan(windows: 1, length: texts.context))
    var result: [StageEstimate] = []
    func add(_ stage: StageEstimate.Stage, windows: Int, seconds: Double, isBound: Bool = false) {
      result.append(
        StageEstimate(
          stage: stage, bytes: bytes, tokens: windows * texts.context, seconds: seconds, isBound: isBound))
    }
    if case .measured = importanceInput.origin {
      var input = importanceInput
      input.seconds = budget.map { $0 * policy.importanceShare }
      let count = min(texts.windowCount, try input.windowLimit(for: source, in: settings) ?? texts.windowCount)
      add(
        .importance, windows: count,
        seconds: try pass.estimatedSeconds(try pass.plan(windows: count, length: texts.context)))
    }
    let before = budget == nil ? 0 : result.reduce(0) { $0 + $1.seconds }
    let remaining = max(0, texts.budget - before)
    let layers = try Decoder(source).layerCount
    if given == nil {
      let limit = RelativeErrors.weightLimit(
        of: quantizable.count, types: types.count, seconds: remaining * policy.sensitivityShare * policy.errorShare)
      let measured = errors(limit)
      result.append(measured)
      // At most, every tensor is probed by itself.
      let groups = ProbeGroup.all(of: source, layers: layers, bands: layers)
      let count = texts.probes.windows.count
      let whole = (1 + ProbeGroup.passes(groups, layers: layers)) * window * Double(count)
      let limitSeconds = max(0, remaining * policy.sensitivityShare - measured.seconds)
      add(.probes, windows: count, seconds: min(whole, limitSeconds), isBound: whole > limitSeconds)
    }
    if searches, let search = texts.search {
      let spent = result.filter { $0.stage != .importance }.reduce(0) { $0 + $1.seconds }
      add(
        .search, windows: search.windows.count, seconds: max(0, remaining - spent) * policy.searchShare, isBound: true)
    }
    if let final = texts.final {
      // The model, the stock mixes and the fitted ones; all but the model are encoded.
      let mixes = Double(policy.stockMixes + (searches ? 3 : 2))
      let whole = (1 + mixes) * window * Double(final.windows.count) + mixes * encoding.seconds
      let spent = result.filter { $0.stage != .importance }.reduce(0) { $0 + $1.seconds }
      let minimum = whole * Double(policy.fewestWindows) / Double(max(policy.fewestWindows, final.windows.count))
      let limit = max(minimum, remaining - spent)
      add(.comparison, windows: final.windows.count, seconds: min(whole, limit), isBound: whole > limit)
    }
    return result + [try feedbackStage() ?? encoding]
  }

  private func feedbackStage() throws -> StageEstimate? {
    guard let feedback else { return nil }
    let bits = 8 * Double(target) / Double(max(1, source.tensors.reduce(0) { $0 + $1.shape.count }))
    let type = GGMLType.allCases.filter(\.takesFeedback).min {
      abs($0.bitsPerWeight - bits) < abs($1.bitsPerWeight - bits)
    }
    let types = source.tensors.map { $0.isQuantizable ? (type ?? .q4_K).fitting(columns: $0.shape.columns) : $0.type }
    var run = try FeedbackRun(
      try header(nil).plan(types), windows: feedback.windows.windows, forward: settings.forward)
    run.effort = feedback.effort
    run.wants = { feedback.tensors.contains($0.name) }
    guard run.hasWork else { return nil }
    let work = try run.work()
    return StageEstimate(
      stage: .feedback, bytes: work.encoderBytes, tokens: work.tokens, seconds: work.seconds, isBound: false,
      feedback: work)
  }

  /// The expected types of the file, without reading weights: by the given table, or by the prior with the mean errors of types;
  /// nil if no allocation follows from these, as for types without a mean error.
  package func expectedTypes(_ types: [GGMLType]) throws -> [GGMLType]? {
    do { return try expectedAllocation(given?.table ?? expectedTable(types)) } catch is QuantizeError { return nil }
  }

  /// The prior with the mean errors of types.
  private func expectedTable(_ types: [GGMLType]) -> SensitivityTable {
    var table = SensitivityTable(
      model: source.name, modelFingerprint: "", importanceFingerprint: nil, textFingerprint: "", types: [],
      probeTokens: 0, scoredPositions: 0, bands: 0, isComplete: true, probes: [], entries: [])
    table.entries = source.tensors.filter(\.isQuantizable).map { tensor in
      let errors = types.compactMap { type in
        LowBitError.mean(of: type).flatMap { error in
          tensor.shape.columns % type.blockLength == 0 ? (type.name, error) : nil
        }
      }
      return SensitivityTable.Entry(
        tensor: tensor.name, dimensions: tensor.shape.dimensions,
        errors: Dictionary(uniqueKeysWithValues: errors), probe: nil, coefficient: 0)
    }
    table.expect(Prior(of: source), source.tensors)
    table.distribute()
    return table
  }
}
