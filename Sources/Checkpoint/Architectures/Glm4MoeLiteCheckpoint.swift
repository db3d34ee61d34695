import GGUF

/// Glm4MoeLiteForCausalLM: GLM 4.7 Flash. DeepSeek V3 with other defaults, and with its block for multi-token
/// prediction.
struct Glm4MoeLiteCheckpoint: CheckpointArchitecture {
  static let names = ["Glm4MoeLiteForCausalLM"]
  static let ggufName = "deepseek2"
  static let keys = DeepseekV3Checkpoint.keys.adding(KeyTable(rules: [.densePrefix]))

  private static let defaults = DeepseekConfig.Defaults(
    queryRank: 768, denseLayers: 1, sharedExperts: 1, groups: 1, groupsUsed: 1, scale: 1.8, normalizes: true,
    epsilon: 1e-5)
  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config, Self.defaults, carriesPrediction: true) }

  var predictionBlocks: Int { deepseek.prediction?.count ?? 0 }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
  func hyperparameters() throws -> Metadata { try deepseek.keys(scoring: "sigmoid") }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all, corrected: true) }
}
