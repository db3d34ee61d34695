import CMachine
import Checkpoint
import GGUF
import Perplexity
import Tensors
import Tokenizers
import Transformer

/// Models that have run over the same windows, and the memory that remains for scoring them.
struct ScoredModels {
  let models: [(name: String, source: any LogitSource)]
  let memory: Int

  /// Bytes per position and model: a running softmax, a copy for the current tile, and the resulting figures.
  private static let positionBytes = 96
  private static let minimumMemory = 2 << 20

  /// Runs one model after the other, and calls `finished` after each.
  ///
  /// Final states stay in memory if all of them take at most a quarter of it. Otherwise they are written to the scratch
  /// folder and read by ranges of positions.
  ///
  /// - Parameter snapshots: snapshots of a model by its index; nil for none.
  static func running(
    _ sources: [any ModelSource], over windows: ScoringWindows, _ options: RunOptions, _ progress: Progress,
    snapshots: (Int) -> PassSnapshots? = { _ in nil },
    finished: (_ index: Int, _ states: any LogitSource, _ memory: Int) throws -> Void = { _, _, _ in }
  ) throws -> ScoredModels {
    for source in sources { progress.warn(ofLength: windows.context, for: source) }
    var forward = options.forward
    forward.results = sources.count
    // All models are planned before the first one runs, so that an error in the last one is reported at once.
    let passes = try sources.map { try ForwardPass(source: $0, options: forward) }
    let kept = windows.rowCount * sources.count * positionBytes
    let memory = try passes.map { try $0.logitBytes(beside: kept, minimum: minimumMemory) }.min() ?? 0
    let models: [(name: String, source: any LogitSource)] = try zip(sources, passes).enumerated().map { index, model in
      let states = try finalStates(of: model.0, model.1, windows, progress, snapshots(index))
      try finished(index, states, memory)
      return (model.0.name, states)
    }
    return ScoredModels(models: models, memory: memory)
  }

  private static func finalStates(
    of source: any ModelSource, _ pass: ForwardPass, _ windows: ScoringWindows, _ progress: Progress,
    _ snapshots: PassSnapshots?
  ) throws -> FinalStates {
    let plan = try pass.plan(
      windows: windows.windows.count, length: windows.context, scored: windows.scored.count)
    if let states = try snapshots?.finished(pass, windows: windows.windows, scored: windows.scored) {
      progress.note("\(source.name): forward pass finished by an interrupted run")
      return states
    }
    progress.note(plan.summary(of: source.name, seconds: try pass.estimatedSeconds(plan)))
    let stage = ForwardStage(
      source.name, tokens: windows.windows.count * windows.context, "forward pass", progress,
      finishesLayers: snapshots != nil)
    do {
      let states: FinalStates
      if let snapshots {
        states = try snapshots.run(
          pass, windows: windows.windows, scored: windows.scored, progress: stage)
        try Interruption.check()
      } else {
        states = try pass.run(windows: windows.windows, scored: windows.scored, progress: stage)
      }
      progress.finish()
      cmachine_give_back()
      return states
    } catch ForwardError.nonFinite(let tensor, let window, let position) {
      throw Failure(nonFinite: tensor, model: source.name, window: window.map { windows.numbers[$0] }, position)
    }
  }
}

extension Progress {
  /// Warns of windows that are longer than the texts a model was trained for.
  func warn(ofLength context: Int, for source: any ModelSource) {
    guard let architecture = source.metadata.optionalString("general.architecture"),
      let trained = source.metadata.optionalInt("\(architecture).context_length"), context > trained
    else { return }
    noteOnce([
      "warning: windows of \(Figures.grouped(context)) tokens are longer than the \(Figures.grouped(trained)) that "
        + "\(source.name) was trained for"
    ])
  }
}

extension Failure {
  /// NaN or infinity inside a model, with the layer, the product and the position in the text.
  fileprivate init(nonFinite tensor: String, model: String, window: Int?, _ position: Int?) {
    let layer = TensorName(tensor).layer.map { "layer \($0)" } ?? "the output"
    var location = ""
    if let window, let position { location = " at position \(position) of window \(window)" }
    self.init(
      .data, "\(model): NaN or infinity in \(layer)\(location), at '\(tensor)'",
      hint: "some weights may be damaged: run qtool verify")
  }
}

/// Refuses to compare models with different vocabularies.
func requireSameVocabulary(_ base: any ModelSource, _ model: any ModelSource) throws {
  let baseTokens = try base.metadata.strings("tokenizer.ggml.tokens")
  let tokens = try model.metadata.strings("tokenizer.ggml.tokens")
  guard baseTokens.count == tokens.count else {
    throw ScoringError.vocabulariesDiffer(
      base: base.name, baseCount: baseTokens.count, model: model.name, count: tokens.count)
  }
  if let id = tokens.indices.first(where: { baseTokens[$0] != tokens[$0] }) {
    throw ScoringError.tokensDiffer(
      base: base.name, model: model.name, id: id, baseToken: baseTokens[id], token: tokens[id])
  }
}

/// The progress of a forward pass, counted in operations, so that it also advances within a layer.
final class ForwardStage: RunObserver {
  private let tokens: Int
  private let progress: Progress
  private var hasWorked = false
  /// Whether an interruption waits for the end of the layer, where a snapshot is written.
  private let finishesLayers: Bool
  private var hasNoted = false

  init(
    _ model: String, tokens: Int, _ stage: String, _ progress: Progress, finishesLayers: Bool = false
  ) {
    self.finishesLayers = finishesLayers
    self.tokens = tokens
    self.progress = progress
    progress.start("\(model): \(stage)", total: tokens, unit: .tokens)
  }

  func advance(_ done: RunProgress) throws {
    if !finishesLayers {
      try Interruption.check()
    } else if Interruption.isRequested, !hasNoted {
      hasNoted = true
      progress.note("interrupted: finishing the current layer; Ctrl-C again stops at once")
    }
    let count = Int(Double(tokens) * done.fraction)
    // Layers that are finished before any work are from an interrupted run.
    if !hasWorked, done.step > 0 { progress.resume(from: count) }
    hasWorked = true
    progress.update(count, done.detail)
  }

  func pause() throws { try Interruption.check() }
}

/// The progress of a stage that counts in its own unit.
struct StageObserver: RunObserver {
  let progress: Progress
  /// Amount of the whole stage.
  let total: Int
  /// Whether an interruption waits until the run can be resumed, instead of stopping between two pieces of work.
  var stopsInPauses = false

  func advance(_ done: RunProgress) throws {
    if !stopsInPauses { try Interruption.check() }
    progress.update(Int((done.fraction * Double(total)).rounded()), done.detail)
  }

  func pause() throws { try Interruption.check() }
}
