import Checkpoint
import Files
import GGUF
import Tensors

/// The class of mlx_lm that holds a language model.
///
/// Its limits are checked before hours of work: mlx_lm refuses some models when it loads them, and computes others wrongly.
struct MLXClass: Sendable {
  /// The module of mlx_lm.
  let name: String
  private let modelType: String

  /// - Parameters:
  ///   - modelType: config.json's `model_type`.
  ///   - text: the `model_type` of its `text_config`.
  init(modelType: String, text: String?) {
    self.modelType = modelType
    name =
      switch modelType {
      case "mistral": "llama"
      case "kimi_k2": "deepseek_v3"
      case "minimax_m2": "minimax"
      case "gemma3": "gemma3_text"
      case "gemma4": "gemma4_text"
      case "qwen3_vl": "qwen3"
      case "qwen3_vl_moe": "qwen3_moe"
      case "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text": "qwen3_5"
      case "mistral3": ["ministral3", "mistral4"].contains(text) ? text ?? "" : "llama"
      default: modelType
      }
  }

  /// Classes that have a matrix of their own for the head.
  private static let untied: Set<String> = [
    "glm4_moe", "glm4_moe_lite", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm_moe_dsa",
  ]

  /// Why a type of model is not written.
  static func reason(modelType: String) -> String {
    switch modelType {
    case "ernie4_5_moe": "whose class in mlx_lm drops the biases of its routers, and so computes another model"
    case "muse_glimmer": "whose norms are not written for MLX"
    case "hy_v3": "of which mlx_lm has no class"
    default: "whose names in MLX are unknown"
    }
  }

  /// Throws for a model that the class can't hold.
  ///
  /// - Parameter metadata: the model's, without blocks for multi-token prediction.
  func check(_ model: any ModelSource, metadata: Metadata, in folder: MLXFolder) throws {
    let values = MLXClassValues(model, metadata)
    func failure(_ subject: String, _ reason: String, hint: String? = nil) -> FormatError {
      FormatError(path: folder.configPath, subject: subject, reason, hint: hint)
    }
    if let given = folder.architecture, let names = Self.architectures[modelType], !names.contains(given) {
      throw failure(
        "key model_type", "is \(modelType), but architectures names \(given): mlx_lm would load another model",
        hint: "correct the one that is wrong")
    }
    if Self.untied.contains(name) || modelType == "qwen3_vl_moe", model.tensor(named: "output.weight") == nil {
      throw failure(
        "key tie_word_embeddings", "is true; mlx_lm's class of \(modelType) has a separate matrix for the head")
    }
    if name == "glm_moe_dsa" {
      let count = metadata.optionalInt(values.key("block_count")) ?? .max
      let layers = Set(model.tensors.compactMap(\.layer)).filter { $0 < count }
      if let layer = layers.sorted().first(where: { model.tensor(named: "blk.\($0).indexer.attn_k.weight") == nil }) {
        throw failure(
          "layer \(layer)",
          "has no indexer but shares another layer's; mlx_lm's class of glm_moe_dsa has one in every layer")
      }
    }
    try checkRotation(values, folder)
    try checkGroups(values, folder)
    try checkLayers(values, folder)
  }

  /// Classes that rotate positions without scaling, whatever config.json has.
  private static let unscaled: Set<String> = ["qwen3_moe", "mixtral", "glm4_moe", "minimax", "ernie4_5"]

  private func checkRotation(_ values: MLXClassValues, _ folder: MLXFolder) throws {
    let key = folder.language["rope_parameters"]?.object == nil ? "rope_scaling" : "rope_parameters"
    let type = values.string("rope.scaling.type").flatMap { $0 == "none" ? nil : $0 }
    let kind = type ?? (values.model.tensor(named: "rope_freqs.weight") == nil ? nil : "llama3")
    if let kind, Self.unscaled.contains(name) {
      throw FormatError(
        path: folder.configPath, subject: "key \(key)",
        "is \(kind); mlx_lm's class of \(modelType) scales no positions",
        hint: "without the key, the model is the one that mlx_lm computes, for texts up to its first length")
    }
    if name == "deepseek_v2", type != "yarn" {
      throw FormatError(
        path: folder.configPath, subject: "key \(key)",
        "is \(type ?? "missing"); mlx_lm's class of deepseek_v2 knows yarn alone, and needs it")
    }
    guard type == "yarn", let all = folder.language[key] else { return }
    let magnitude = RopeMagnitude(all["full_attention"] ?? all)
    if abs(magnitude.declared - magnitude.computed) > 1e-6 {
      throw FormatError(
        path: folder.configPath, subject: "key \(key)",
        "multiplies queries and keys by \(Float(magnitude.declared)); mlx_lm, which reads only mscale and mscale_all_dim, "
          + "takes \(Float(magnitude.computed))")
    }
  }

  /// A router that chooses among groups of experts first: by the sum of the two best experts of each, or in DeepSeek V2
  /// by the best.
  private func checkGroups(_ values: MLXClassValues, _ folder: MLXFolder) throws {
    guard let groups = values.int("expert_group_count"), groups > 1, let experts = values.int("expert_count") else {
      return
    }
    let minimum = name == "deepseek_v2" ? 1 : 2
    guard experts % groups == 0, experts / groups >= minimum else {
      throw FormatError(
        path: folder.configPath, subject: "key n_group",
        "is \(groups) for \(experts) experts; mlx_lm's class of \(modelType) needs equal groups of \(minimum) or more")
    }
    guard let used = values.int("expert_group_used_count"), 1...groups ~= used else {
      throw FormatError(
        path: folder.configPath, subject: "key topk_group",
        "is \(values.int("expert_group_used_count") ?? 0) of \(groups) groups; mlx_lm needs 1 to \(groups)")
    }
  }

  private func checkLayers(_ values: MLXClassValues, _ folder: MLXFolder) throws {
    let count = values.int("block_count") ?? 0
    func failure(_ key: String, _ reason: String) -> FormatError {
      FormatError(path: folder.configPath, subject: "key \(key)", reason)
    }
    switch name {
    case "qwen2", "granite", "phi3", "mixtral":
      let heads = values.int("attention.head_count") ?? 0
      let size = folder.language["head_dim"]?.int ?? values.headSize ?? 0
      guard let width = values.int("embedding_length"), size * heads != width else { break }
      throw failure(
        "head_dim", "is \(size); mlx_lm's class of \(modelType) means hidden_size over num_attention_heads")
    case "olmo2" where values.int("attention.sliding_window") != nil:
      throw failure("sliding_window", "is given; mlx_lm's class of olmo2 has full attention in all layers")
    case "olmo3" where values.slidingLayers == nil:
      throw failure("sliding_window", "is missing; mlx_lm's class of olmo3 needs it")
    case "olmo3", "gpt_oss":
      let kinds = values.slidingLayers ?? []
      guard Set(kinds).count == 2 else {
        throw failure(
          "layer_types",
          "has \(kinds.first == true ? "sliding" : "full") attention alone; mlx_lm's class of \(modelType) needs "
            + "layers of both kinds")
      }
    case "gemma3_text" where count < 6:
      throw failure("num_hidden_layers", "is \(count); mlx_lm's class of \(modelType) needs 6 or more")
    case "qwen3_5", "qwen3_next":
      guard let interval = values.interval else {
        throw failure(
          "layer_types", "has no period; mlx_lm's class of \(modelType) has full attention at equal distances")
      }
      if count < interval {
        throw failure("num_hidden_layers", "is \(count), below full_attention_interval, which is \(interval)")
      }
    default: break
    }
  }

  /// The values of config.json's `architectures` with which a model type is the same model.
  private static let architectures: [String: [String]] = [
    "llama": ["LlamaForCausalLM", "MistralForCausalLM"], "mistral": ["MistralForCausalLM", "LlamaForCausalLM"],
    "mixtral": ["MixtralForCausalLM"], "qwen2": ["Qwen2ForCausalLM"], "qwen3": ["Qwen3ForCausalLM"],
    "qwen3_moe": ["Qwen3MoeForCausalLM"], "deepseek_v2": ["DeepseekV2ForCausalLM"],
    "deepseek_v3": ["DeepseekV3ForCausalLM"], "kimi_k2": ["DeepseekV3ForCausalLM"],
    "gemma3_text": ["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    "gemma3": ["Gemma3ForConditionalGeneration", "Gemma3ForCausalLM"],
    "gemma4_text": ["Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"],
    "gemma4": ["Gemma4ForConditionalGeneration", "Gemma4ForCausalLM"],
    "qwen3_5": ["Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM"],
    "qwen3_5_text": ["Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"],
    "qwen3_5_moe": ["Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM"],
    "qwen3_5_moe_text": ["Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"],
    "gpt_oss": ["GptOssForCausalLM"], "seed_oss": ["SeedOssForCausalLM"], "smollm3": ["SmolLM3ForCausalLM"],
    "granite": ["GraniteForCausalLM"], "olmo2": ["Olmo2ForCausalLM"], "olmo3": ["Olmo3ForCausalLM"],
    "ernie4_5": ["Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"], "phi3": ["Phi3ForCausalLM"],
    "ministral3": ["Ministral3ForCausalLM"], "mistral3": ["Mistral3ForConditionalGeneration"],
    "qwen3_vl": ["Qwen3VLForConditionalGeneration"], "qwen3_vl_moe": ["Qwen3VLMoeForConditionalGeneration"],
    "glm4_moe": ["Glm4MoeForCausalLM"], "glm4_moe_lite": ["Glm4MoeLiteForCausalLM"],
    "minimax": ["MiniMaxM2ForCausalLM"], "minimax_m2": ["MiniMaxM2ForCausalLM"],
    "deepseek_v32": ["DeepseekV32ForCausalLM"], "glm_moe_dsa": ["GlmMoeDsaForCausalLM"],
    "qwen3_next": ["Qwen3NextForCausalLM"],
  ]
}
