import CMachine
import Checkpoint
import GGUF
import Perplexity
import Tensors
import Tokenizers
import Transformer

/// Models that have run over the same windows, and what memory is left to score them in.
struct ScoredModels {
  let models: [(name: String, source: any LogitSource)]
  let memory: Int

  /// A running softmax, the copy of a tile's, and the figures that come of it.
  private static let positionBytes = 96
  private static let leastMemory = 2 << 20

  /// Runs one model after the other; `finished` is called with each.
  ///
  /// Final states stay in memory where all of them together take a quarter of it at most; else they go to the scratch
  /// folder, and come back by ranges of positions.
  ///
  /// - Parameter snapshots: of each model by its number, what an interrupted run goes on from; nil to keep nothing.
  static func running(
    _ sources: [any ModelSource], over windows: ScoringWindows, _ options: RunOptions, _ progress: Progress,
    snapshots: (Int) -> PassSnapshots? = { _ in nil },
    finished: (_ index: Int, _ states: any LogitSource, _ memory: Int) throws -> Void = { _, _, _ in }
  ) throws -> ScoredModels {
    var forward = options.forward
    forward.results = sources.count
    // All plans before the first run: what is wrong with the last model shows at once.
    let passes = try sources.map { try ForwardPass(source: $0, options: forward) }
    let kept = windows.rowCount * sources.count * positionBytes
    let memory = try passes.map { try $0.logitBytes(beside: kept, minimum: leastMemory) }.min() ?? 0
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
      progress.note("\(source.name): went through the text in an interrupted run")
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

extension Failure {
  /// NaN or infinity inside a model: which layer and product, and where in the text.
  fileprivate init(nonFinite tensor: String, model: String, window: Int?, _ position: Int?) {
    let layer = TensorName(tensor).layer.map { "layer \($0)" } ?? "the output"
    var place = ""
    if let window, let position { place = " at position \(position) of window \(window)" }
    self.init(
      .data, "\(model): NaN or infinity in \(layer)\(place), at '\(tensor)'",
      hint: "some weights may be damaged: run qtool verify")
  }
}

/// Refuses to compare models whose token ids mean different tokens.
func requireSameVocabulary(_ base: any ModelSource, _ model: any ModelSource) throws {
  let own = try base.metadata.strings("tokenizer.ggml.tokens")
  let other = try model.metadata.strings("tokenizer.ggml.tokens")
  guard own.count == other.count else {
    throw ScoringError.vocabulariesDiffer(
      base: base.name, baseCount: own.count, model: model.name, count: other.count)
  }
  if let id = own.indices.first(where: { own[$0] != other[$0] }) {
    throw ScoringError.tokensDiffer(
      base: base.name, model: model.name, id: id, baseToken: own[id], token: other[id])
  }
}

/// The progress of a forward pass: by operations within a layer, so that a layer of an hour moves too.
final class ForwardStage: RunObserver {
  private let tokens: Int
  private let progress: Progress
  private var hasWorked = false
  /// An interruption waits for the end of the layer, where a snapshot is written.
  private let finishesLayers: Bool
  private var hasTold = false

  init(
    _ model: String, tokens: Int, _ what: String, _ progress: Progress, finishesLayers: Bool = false
  ) {
    self.finishesLayers = finishesLayers
    self.tokens = tokens
    self.progress = progress
    progress.start("\(model): \(what)", total: tokens, unit: .tokens)
  }

  func advance(_ done: RunProgress) throws {
    if !finishesLayers {
      try Interruption.check()
    } else if Interruption.isRequested, !hasTold {
      hasTold = true
      progress.note("interrupted: the layer in work is finished first; Ctrl-C again ends at once")
    }
    let count = Int(Double(tokens) * done.fraction)
    // Layers before any work are those of a run that is resumed.
    if !hasWorked, done.step > 0 { progress.resume(from: count) }
    hasWorked = true
    progress.update(count, done.detail)
  }

  func pause() throws { try Interruption.check() }
}

/// The progress of a stage that counts in its own unit.
struct StageObserver: RunObserver {
  let progress: Progress
  /// The whole stage.
  let total: Int
  /// Whether an interruption waits until the run can be resumed; otherwise it comes between any two pieces of work.
  var stopsInPauses = false

  func advance(_ done: RunProgress) throws {
    if !stopsInPauses { try Interruption.check() }
    progress.update(Int((done.fraction * Double(total)).rounded()), done.detail)
  }

  func pause() throws { try Interruption.check() }
}
