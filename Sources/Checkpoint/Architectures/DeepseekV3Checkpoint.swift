import GGUF

/// DeepseekV3ForCausalLM: V3, R1 and Kimi K2. Differs from V2 in a sigmoid router with a bias for the choice of experts, and in
/// a last layer for multi-token prediction, which is left out.
struct DeepseekV3Checkpoint: CheckpointArchitecture {
  static let names = ["DeepseekV3ForCausalLM"]
  static let ggufName = "deepseek2"
  static let replacesBeta = true
  static let keys = DeepseekConfig.keysOfDeepSeek(rope: RopeForms(hasKimiBetas: true)).adding(
    KeyTable(
      rules: [
        .only("norm_topk_prob", are: .bool(true), .bool(false)), .only("scoring_func", are: .string("sigmoid")),
        .only("topk_method", are: .string("noaux_tc")),
      ]))

  private static let defaults = DeepseekConfig.Defaults(
    denseLayers: 3, sharedExperts: 1, groups: 8, groupsUsed: 4, scale: 2.5, normalizes: true)
  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config, Self.defaults) }

  func hyperparameters() throws -> Metadata { try deepseek.keys(scoring: "sigmoid") }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all, corrected: true) }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
}

/// KimiK25ForConditionalGeneration: Kimi K2.5 and later, DeepSeek V3 behind a tower of vision.
struct KimiK25Checkpoint: CheckpointArchitecture {
  static let names = ["KimiK25ForConditionalGeneration"]
  static let ggufName = "deepseek2"
  static let isNested = true
  static let replacesBeta = true
  static let keys = DeepseekV3Checkpoint.keys

  private let deepseek: DeepseekV3Checkpoint

  init(config: Config) throws { deepseek = try DeepseekV3Checkpoint(config: config) }

  func hyperparameters() throws -> Metadata { try deepseek.hyperparameters() }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all) }
  func leavesOut(_ name: String) -> Bool { deepseek.leavesOut(name) }
}
