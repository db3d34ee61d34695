import Files
import GGUF

/// Gemma4UnifiedForConditionalGeneration (Gemma 4 12B): Gemma 4 whose configuration class has other defaults, without
/// inputs of every layer.
struct Gemma4UnifiedCheckpoint: CheckpointArchitecture {
  static let names = ["Gemma4UnifiedForConditionalGeneration", "Gemma4UnifiedForCausalLM"]
  static let ggufName = Gemma4Checkpoint.ggufName
  static let isNested = true
  static let carriesSuppressedTokens = true
  static let keys = Gemma4Checkpoint.keys
  static let defaults = Gemma4Checkpoint.defaults.merging([
    "max_position_embeddings": .int(262_144), "sliding_window": .int(1024), "hidden_size_per_layer_input": .int(0),
  ]) { $1 }

  private let model: Gemma4Checkpoint

  init(config: Config) throws { model = try Gemma4Checkpoint(config: config) }

  func hyperparameters() throws -> Metadata { try model.hyperparameters() }
  func collectTensors(_ all: inout TensorCollector) throws { try model.collectTensors(&all) }
}
