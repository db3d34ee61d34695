import GGUF

/// Mistral 4 behind a tower of vision: DeepSeek V3's layers with a softmax router, experts that are stored together, and
/// scores that grow with the position.
struct Mistral4Checkpoint: CheckpointArchitecture {
  static let names = ["Mistral3ForConditionalGeneration", "Mistral4ForCausalLM"]
  static let ggufName = "mistral4"
  static let isNested = true
  static let keys = DeepseekConfig.keys(
    rope: RopeForms(isTempered: true, isLatent: true),
    [
      .only("norm_topk_prob", are: .bool(true)), .only("scoring_func", are: .string("softmax")),
      .only("topk_method", are: .string("greedy")), .only("n_group", "topk_group", are: .int(1)), .noSlidingWindow,
    ]
  ).adding(KeyTable(harmless: KeyTable.mistralTowers.union(["head_dim"])))

  static func claims(_ config: Config) -> Bool {
    (config["text_config"]?["model_type"] ?? config["model_type"])?.string == "mistral4"
  }

  private static let defaults = DeepseekConfig.Defaults(
    queryRank: 1024, denseLayers: 0, sharedExperts: 1, groups: 1, groupsUsed: 1, scale: 1, normalizes: true,
    hasJointExperts: true)
  private let deepseek: DeepseekConfig

  init(config: Config) throws {
    try config.requireRotation()
    deepseek = try DeepseekConfig(config, Self.defaults, name: Self.ggufName)
  }

  func hyperparameters() throws -> Metadata {
    try deepseek.keys(scoring: nil).merging(deepseek.decoder.rope.latentTemperatureKeys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all) }
}
