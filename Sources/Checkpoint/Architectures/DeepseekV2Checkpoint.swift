import GGUF

/// DeepseekV2ForCausalLM: V2, V2.5, Coder-V2 and the Lite models.
///
/// GGUF stores latent attention in the absorbed form: queries are multiplied with the latent directly, so that all
/// heads share one key. The up-projection [heads * (nope + v), rank] is split into `attn_k_b` [heads, rank, nope],
/// whose rows are transposed per head, and `attn_v_b` [heads, v, rank].
struct DeepseekV2Checkpoint: CheckpointArchitecture {
  static let names = ["DeepseekV2ForCausalLM"]
  static let ggufName = "deepseek2"
  // Implementations of `norm_topk_prob: true` differ: transformers ignores it, DeepSeek's code normalises and omits the
  // scale, llama.cpp normalises and scales.
  static let keys = DeepseekConfig.keys.adding(
    KeyTable(rules: [
      .only("scoring_func", are: .string("softmax")), .only("norm_topk_prob", are: .bool(false)),
      .only("topk_method", are: .string("greedy"), .string("group_limited_greedy")),
    ]))

  private static let defaults = DeepseekConfig.Defaults(
    denseLayers: 0, sharedExperts: 2, groups: nil, groupsUsed: nil, scale: 1, normalizes: false)
  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config, Self.defaults) }

  func hyperparameters() throws -> Metadata { try deepseek.keys(scoring: nil) }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all) }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
}
