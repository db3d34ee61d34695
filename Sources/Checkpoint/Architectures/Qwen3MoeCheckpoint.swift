import GGUF

/// Qwen3MoeForCausalLM: Qwen 3 with experts in all layers except those that config.json excludes.
struct Qwen3MoeCheckpoint: CheckpointArchitecture {
  static let names = ["Qwen3MoeForCausalLM"]
  static let ggufName = "qwen3moe"
  // Readers of qwen3moe do not support a bias for the output of attention, and need experts in every layer.
  static let keys = KeyTable.plainExperts.adding(
    KeyTable(
      honoured: ["moe_intermediate_size"],
      rules: [
        .only("norm_topk_prob", are: .bool(true), absent: .bool(false)),
        .only("decoder_sparse_step", are: .int(1), shapesTensors: true), .none("mlp_only_layers", shapesTensors: true),
        .slidingWindow(isUniform: true), .rope(),
        .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)),
        .none("attention_bias", "mlp_bias", "qkv_bias"),
      ]))

  private let decoder: DecoderConfig
  private let experts: Int
  private let expertsUsed: Int
  private let expertWidth: Int
  private let sparseStep: Int
  private let denseLayers: Set<Int>

  init(config: Config) throws {
    decoder = try DecoderConfig(config, keyHeads: 4)
    experts = try config.int(config["num_experts"] != nil ? "num_experts" : "num_local_experts", maximum: 1 << 16)
    expertsUsed = try config.int("num_experts_per_tok", maximum: experts)
    expertWidth = try config.int("moe_intermediate_size")
    sparseStep = try config.int("decoder_sparse_step", default: 1)
    denseLayers = Set((config["mlp_only_layers"]?.array ?? []).compactMap(\.int))
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("qwen3moe")
    metadata["qwen3moe.expert_count"] = .uint32(UInt32(experts))
    metadata["qwen3moe.expert_used_count"] = .uint32(UInt32(expertsUsed))
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys("qwen3moe")) { $1 } }
    metadata["qwen3moe.expert_feed_forward_length"] = .uint32(UInt32(expertWidth))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let bias = decoder.bias("attention_bias")
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, interleaved: false, inputBias: bias, norms: .perHead, &all)
      if denseLayers.contains(layer) || (layer + 1) % sparseStep != 0 {
        try decoder.feedForward(layer: layer, &all)
        continue
      }
      try all.exactMatrix(
        "blk.\(layer).ffn_gate_inp.weight", from: "model.layers.\(layer).mlp.gate.weight", outputs: experts,
        inputs: decoder.width)
      if all.prefers("model.layers.\(layer).mlp.experts.0.gate_proj.weight") {
        try decoder.experts(layer: layer, count: experts, width: expertWidth, &all)
      } else {
        try stackedExperts(layer: layer, &all)
      }
    }
    try decoder.head(&all)
  }

  /// Newer versions of `transformers` may store a layer's experts as two tensors: gate and up of each expert together,
  /// and down.
  private func stackedExperts(layer: Int, _ all: inout TensorCollector) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).mlp.experts.")
    let width = decoder.width
    for (name, first) in [("ffn_gate_exps", 0), ("ffn_up_exps", expertWidth)] {
      try all.part(
        to + name + ".weight", [width, expertWidth, experts],
        .slices(
          from + "gate_up_proj", shape: [experts, 2 * expertWidth, width], first: first, count: expertWidth,
          every: 2 * expertWidth))
    }
    try all.part(
      to + "ffn_down_exps.weight", [expertWidth, width, experts],
      .whole(from + "down_proj", shape: [experts, width, expertWidth]))
  }
}
