import Checkpoint
import GGUF
import Perplexity
import Tokenizers
import Transformer

/// Runs a model over windows and tells how far it is.
func finalStates(
  of source: any ModelSource, _ windows: ScoringWindows, _ options: RunOptions, _ progress: Progress
) throws -> FinalStates {
  let pass = try ForwardPass(source: source, options: options.forward)
  let tokens = windows.windows.count * windows.context
  progress.start("\(source.name): forward pass", total: tokens, unit: .tokens)
  let states = try pass.run(windows: windows.windows, scored: windows.scored) { done, layers in
    try Interruption.check()
    progress.update(tokens * done / layers, "layer \(done) of \(layers)")
  }
  progress.finish()
  return states
}
