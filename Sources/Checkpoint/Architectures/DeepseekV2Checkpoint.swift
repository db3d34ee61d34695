import GGUF

/// DeepseekV2ForCausalLM: V2, V2.5, Coder-V2 and the Lite models.
///
/// Latent attention is stored as GGUF wants it for the absorbed form: queries meet the 512-wide latent directly, so that
/// all heads share one key. The up-projection [heads * (nope + v), rank] becomes `attn_k_b` [heads, rank, nope] (its rows
/// transposed per head) and `attn_v_b` [heads, v, rank].
struct DeepseekV2Checkpoint: Architecture {
  static let names = ["DeepseekV2ForCausalLM"]
  static let ggufName = "deepseek2"
  // Implementations differ in a true norm_topk_prob: transformers takes no notice of it, DeepSeek's code then leaves out
  // the scale, and llama.cpp normalises and scales.
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
