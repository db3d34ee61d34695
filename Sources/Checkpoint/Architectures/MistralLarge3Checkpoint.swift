import GGUF

/// Mistral Large 3: DeepSeek V3's layers with a softmax router, and scores that grow with the position. It is published in
/// Mistral's own form alone (``MistralForm``); `transformers` has no class of this name.
struct MistralLarge3Checkpoint: CheckpointArchitecture {
  static let names = ["MistralLarge3ForCausalLM"]
  static let ggufName = "deepseek2"
  static let keys = DeepseekConfig.keys(
    rope: RopeForms(isTempered: true, isLatent: true),
    [
      .only("norm_topk_prob", are: .bool(true)), .only("scoring_func", are: .string("softmax")),
      .only("n_group", "topk_group", are: .int(1)), .noSlidingWindow,
    ]
  ).adding(KeyTable(harmless: ["head_dim"]))

  static func claims(_ config: Config) -> Bool { config.isMistralForm }

  private static let defaults = DeepseekConfig.Defaults(
    denseLayers: 0, sharedExperts: 0, groups: nil, groupsUsed: nil, scale: 1, normalizes: true)
  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config, Self.defaults) }

  func hyperparameters() throws -> Metadata {
    try deepseek.keys(scoring: "softmax").merging(deepseek.decoder.rope.latentTemperatureKeys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all) }
}
