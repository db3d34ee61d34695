import GGUF

/// DeepseekV3ForCausalLM: V3 and R1. As V2, with a sigmoid router whose choice a bias corrects, and a layer for
/// multi-token prediction behind the last, which is left out.
struct DeepseekV3Checkpoint: Architecture {
  static let names = ["DeepseekV3ForCausalLM"]
  static let ggufName = "deepseek2"

  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config) }

  func hyperparameters() throws -> Metadata { try deepseek.keys(defaultScoring: "sigmoid") }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all, corrected: true) }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
}
