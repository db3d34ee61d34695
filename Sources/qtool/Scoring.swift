import Checkpoint
import GGUF
import Perplexity
import Tokenizers
import Transformer

/// Runs a model over windows and tells what it will take and how far it is.
///
/// - Parameter results: runs whose states are in use at the same time, and share the memory.
func finalStates(
  of source: any ModelSource, _ windows: ScoringWindows, _ options: RunOptions, _ progress: Progress, results: Int = 1
) throws -> FinalStates {
  var forward = options.forward
  forward.results = results
  let pass = try ForwardPass(source: source, options: forward)
  let plan = try pass.plan(
    windows: windows.windows.count, length: windows.context, scored: windows.scored.count)
  progress.note(plan.summary(of: source.name, seconds: try pass.estimatedSeconds(plan)))
  let stage = ForwardStage(source, tokens: windows.windows.count * windows.context, "forward pass", progress)
  let states = try pass.run(
    windows: windows.windows, scored: windows.scored, progress: stage.layer, working: stage.working)
  progress.finish()
  return states
}

/// The progress of a forward pass: by operations within a layer, so that a layer of an hour moves too.
final class ForwardStage {
  private let name: String
  private let tokens: Int
  private let progress: Progress
  private var detail = ""
  private var hasWorked = false

  init(_ source: any ModelSource, tokens: Int, _ what: String, _ progress: Progress) {
    name = "\(source.name): \(what)"
    self.tokens = tokens
    self.progress = progress
    progress.start(name, total: tokens, unit: .tokens)
  }

  func layer(_ done: Int, _ layers: Int) throws {
    try Interruption.check()
    detail = "layer \(done) of \(layers)"
    // Layers before any work are those of a run that is resumed.
    if !hasWorked { progress.start(name, total: tokens, unit: .tokens, from: tokens * done / layers) }
  }

  func working(_ part: Double) throws {
    try Interruption.check()
    hasWorked = true
    progress.update(Int(Double(tokens) * part), detail)
  }
}
