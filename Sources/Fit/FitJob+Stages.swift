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
  public enum Stage: String, Codable, Sendable, CaseIterable {
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
    let types = SensitivityTable.types(of: source, hasImportance: !importanceInput.isNothing)
    let costs = try WeightCosts(source, types: types)
    let encoding = costs.encoding(as: try expectedTypes(types))
    guard runsModel, let text else {
      let measuring = given == nil ? [costs.errors(limit: RelativeErrors.minimumWeights)] : []
      return measuring + [try feedbackStage() ?? encoding]
    }
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    let pass = try ForwardPass(source: source, options: settings.forward)
    let window = try pass.estimatedSeconds(try pass.plan(windows: 1, length: texts.context))
    let importance = try importanceStage(pass, texts, bytes: encoding.bytes)
    // A given budget includes the importance.
    let available = max(0, texts.budget - (budget == nil ? 0 : importance?.seconds ?? 0))
    let minimum = try minimumTimes(texts, costs)
    let choice = stageChoice(minimum, texts, available: available, given: given != nil)
    let free = available - choice.reserved
    var measuring: [StageEstimate] = []
    if given == nil {
      measuring =
        choice.probes
        ? try sensitivityStages(costs, texts, window: window, available: free, minimum: minimum.probes - minimum.errors)
        : [costs.errors(limit: RelativeErrors.minimumWeights)]
    }
    func left() -> Double { max(0, free - measuring.reduce(0) { $0 + $1.seconds }) }
    if choice.search, let search = texts.search {
      measuring.append(
        StageEstimate(
          stage: .search, bytes: encoding.bytes, tokens: search.windows.count * texts.context,
          seconds: left() * policy.searchShare, isBound: true))
    }
    if choice.comparison, let final = texts.final {
      measuring.append(comparisonStage(final, texts, encoding, minimum, available: left() + choice.reserved))
    }
    return [importance].compactMap { $0 } + measuring + [try feedbackStage() ?? encoding]
  }

  /// nil if no importance is measured.
  private func importanceStage(_ pass: ForwardPass, _ texts: FitTexts, bytes: Int) throws -> StageEstimate? {
    guard case .measured = importanceInput.origin else { return nil }
    var input = importanceInput
    input.seconds = budget.map { $0 * policy.importanceShare }
    let count = min(texts.windowCount, try input.windowLimit(for: source, in: settings) ?? texts.windowCount)
    return StageEstimate(
      stage: .importance, bytes: bytes, tokens: count * texts.context,
      seconds: try pass.estimatedSeconds(try pass.plan(windows: count, length: texts.context)), isBound: false)
  }

  /// Errors, then probes.
  ///
  /// - Parameters:
  ///   - window: seconds of a pass over one window.
  ///   - available: seconds for all measurements after the importance.
  ///   - minimum: seconds of the fewest probes.
  private func sensitivityStages(
    _ costs: WeightCosts, _ texts: FitTexts, window: Double, available: Double, minimum: Double
  ) throws -> [StageEstimate] {
    let share = available * policy.sensitivityShare
    let errors = costs.errors(
      limit: RelativeErrors.weightLimit(
        of: costs.quantizable.count, types: costs.types.count, seconds: share * policy.errorShare))
    // At most, every tensor is probed by itself.
    let layers = try Decoder(source).layerCount
    let groups = ProbeGroup.all(of: source, layers: layers, bands: layers)
    let count = texts.probes.windows.count
    let whole = (1 + ProbeGroup.passes(groups, layers: layers)) * window * Double(count)
    let limit = max(minimum, share - errors.seconds)
    return [
      errors,
      StageEstimate(
        stage: .probes, bytes: costs.bytes, tokens: count * texts.context, seconds: min(whole, limit),
        isBound: whole > limit),
    ]
  }

  private func comparisonStage(
    _ final: ScoringWindows, _ texts: FitTexts, _ encoding: StageEstimate, _ minimum: MinimumTimes, available: Double
  ) -> StageEstimate {
    let whole = minimum.comparison(of: minimum.mixes, windows: final.windows.count)
    let limit = max(minimum.comparison, available)
    return StageEstimate(
      stage: .comparison, bytes: encoding.bytes, tokens: final.windows.count * texts.context,
      seconds: min(whole, limit), isBound: whole > limit)
  }

  private func feedbackStage() throws -> StageEstimate? {
    guard let feedback else { return nil }
    let bits = 8 * Double(target) / Double(max(1, source.tensors.reduce(0) { $0 + $1.shape.count }))
    let menu = source.outputForm?.menu ?? GGMLType.allCases
    let nearest = menu.filter(\.takesFeedback).min { abs($0.bitsPerWeight - bits) < abs($1.bitsPerWeight - bits) }
    let types = source.tensors.map { tensor in
      guard tensor.isQuantizable, let nearest else { return tensor.type }
      guard let form = source.outputForm else { return nearest.fitting(columns: tensor.shape.columns) }
      return form.bytes(of: tensor, as: nearest) == nil ? tensor.type : nearest
    }
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

/// The cost of measuring and encoding a model's weights on this machine.
struct WeightCosts {
  let source: any ModelSource
  /// Types whose errors are measured.
  let types: [GGMLType]
  let quantizable: [TensorInfo]
  /// Seconds to encode a weight, by type.
  private let seconds: [GGMLType: Double]

  init(_ source: any ModelSource, types: [GGMLType]) throws {
    self.source = source
    self.types = types
    quantizable = source.tensors.filter(\.isQuantizable)
    var seconds: [GGMLType: Double] = [:]
    for type in types { seconds[type] = try EncodingSpeed.seconds(of: type) }
    self.seconds = seconds
  }

  /// Stored bytes of all weights.
  var bytes: Int { Self.stored(source.tensors) }

  private static func stored(_ tensors: [TensorInfo]) -> Int {
    tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
  }

  /// Seconds to encode a weight in every type.
  private var all: Double { types.reduce(0) { $0 + (seconds[$1] ?? 0) } }

  /// Encoding a file.
  ///
  /// - Parameter expected: its types; nil for the mean of all types.
  func encoding(as expected: [GGMLType]?) -> StageEstimate {
    let mean = all / Double(max(1, types.count))
    let encoded = source.tensors.enumerated().reduce(0.0) { sum, one in
      let (tensor, weights) = (one.element, Double(one.element.shape.count))
      guard let type = expected?[one.offset] else { return sum + (tensor.isQuantizable ? mean : 0) * weights }
      return sum + (type == tensor.type ? 0 : weights * (seconds[type] ?? mean))
    }
    return StageEstimate(stage: .encoding, bytes: bytes, tokens: 0, seconds: encoded, isBound: false)
  }

  /// Measuring the errors of every tensor in every type.
  ///
  /// - Parameter limit: maximum weights of a tensor.
  func errors(limit: Int) -> StageEstimate {
    let weights = quantizable.reduce(0) { $0 + $1.shape.count }
    let sampled = quantizable.reduce(0) { $0 + min($1.shape.count, limit) }
    return StageEstimate(
      stage: .errors,
      bytes: weights > 0 ? Int(Double(Self.stored(quantizable)) * Double(sampled) / Double(weights)) : 0,
      tokens: 0, seconds: Double(sampled) * all, isBound: false)
  }
}
