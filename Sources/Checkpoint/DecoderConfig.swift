import Files
import Foundation
import GGUF

/// The hyperparameters that all decoders share, and the GGUF keys and tensors derived from them.
struct DecoderConfig: Sendable {
  let config: Config
  let layers: Int
  let width: Int
  /// 0 for a model without dense layers.
  let feedForward: Int
  let heads: Int
  let keyHeads: Int
  let headSize: Int
  let vocabulary: Int
  let rope: RopeConfig
  /// The form in which the weights of norms are stored.
  var normTransform = ExpectedTensor.Transform.none

  /// - Parameters:
  ///   - headSize: the size of a head, for architectures that do not use `head_dim`.
  ///   - keyHeads: the default of a missing `num_key_value_heads`. If the key is null, or this is nil, every head has
  ///     its own key.
  ///   - theta: the default of a missing `rope_theta`.
  ///   - hasDenseLayers: whether the configuration class has `intermediate_size`.
  init(
    _ config: Config, headSize: Int? = nil, keyHeads absent: Int? = nil, theta: Double = 10_000,
    hasDenseLayers: Bool = true
  ) throws {
    self.config = config
    rope = try RopeConfig(config, theta: theta)
    layers = try config.int("num_hidden_layers", maximum: 10_000)
    width = try config.int("hidden_size")
    feedForward = hasDenseLayers ? try config.int("intermediate_size") : 0
    heads = try config.int("num_attention_heads", maximum: 1 << 20)
    keyHeads = try config.int(
      "num_key_value_heads", default: config.has("num_key_value_heads") ? heads : absent ?? heads)
    vocabulary = try config.int("vocab_size")
    guard heads % keyHeads == 0, headSize != nil || config["head_dim"] != nil || width % heads == 0 else {
      throw FormatError(
        path: config.path, subject: "key num_attention_heads",
        "\(heads) heads over \(keyHeads) key/value heads in width \(width)")
    }
    self.headSize = try headSize ?? config.int("head_dim", default: width / heads)
    // Pairs of elements are rotated. Latent attention has a key for their number.
    guard self.headSize.isMultiple(of: 2) || config["qk_rope_head_dim"] != nil else {
      throw FormatError(
        path: config.path, subject: "key head_dim", "means heads of \(self.headSize) elements, an odd number")
    }
  }

  var queryWidth: Int { heads * headSize }
  var hasTiedEmbeddings: Bool { config["tie_word_embeddings"]?.bool == true }

  /// The biases that a boolean key declares. If it is missing or false: those that are stored, or none if the key is
  /// ignored.
  func bias(_ key: String) -> TensorCollector.Bias {
    config[key]?.bool == true ? .expected : config.ignored.contains(key) ? .none : .stored
  }

  /// The GGUF keys that every decoder has.
  ///
  /// - Parameter isLatent: all heads share one key, the latent.
  func keys(_ name: String, isLatent: Bool = false, epsilon: Double? = nil) throws -> Metadata {
    var metadata: Metadata = [
      "\(name).block_count": .uint32(UInt32(layers)),
      "\(name).context_length": .uint32(UInt32(try config.int("max_position_embeddings"))),
      "\(name).embedding_length": .uint32(UInt32(width)),
      "\(name).feed_forward_length": .uint32(UInt32(feedForward)),
      "\(name).attention.head_count": .uint32(UInt32(heads)),
      "\(name).attention.head_count_kv": .uint32(isLatent ? 1 : UInt32(keyHeads)),
    ]
    if feedForward == 0 { metadata["\(name).feed_forward_length"] = nil }
    metadata.merge(isLatent ? rope.latentScalingKeys(name) : rope.scalingKeys(name)) { $1 }
    metadata["\(name).rope.freq_base"] = .float32(Float(rope.theta))
    let hasEpsilon = epsilon == nil || config["rms_norm_eps"] != nil
    metadata["\(name).attention.layer_norm_rms_epsilon"] = .float32(
      Float(hasEpsilon ? try config.positive("rms_norm_eps") : epsilon!))
    return metadata
  }

  /// The keys for the size of a head, given by config.json or by the default of the configuration class.
  func headKeys(_ name: String) -> Metadata {
    [
      "\(name).attention.key_length": .uint32(UInt32(headSize)),
      "\(name).attention.value_length": .uint32(UInt32(headSize)),
    ]
  }

  /// Adds the embeddings, before the layers.
  func embeddings(_ all: inout TensorCollector) throws {
    try all.matrix("token_embd.weight", from: "model.embed_tokens.weight", outputs: vocabulary, inputs: width)
  }

  /// Adds the tensors after the layers. A tied output has a matrix only if the stored one differs from the embeddings.
  func head(_ all: inout TensorCollector) throws {
    try all.vector("output_norm.weight", from: "model.norm.weight", count: width, transform: normTransform)
    if !hasTiedEmbeddings || all.keepsTiedHead {
      try all.matrix("output.weight", from: "lm_head.weight", outputs: vocabulary, inputs: width)
    }
  }

  /// Adds a norm, in the form of ``normTransform``.
  func norm(_ name: String, from source: String, _ all: inout TensorCollector) throws {
    try all.vector(name + ".weight", from: source + ".weight", count: width, transform: normTransform)
  }

  /// Adds norm, queries, keys, values and output of one layer's attention.
  ///
  /// - Parameters:
  ///   - interleaved: GGUF's `llama` rotates neighbours where `transformers` rotates halves. Mistral's form is stored as
  ///     GGUF has it.
  ///   - norms: the norms of queries and keys.
  ///   - feedForwardNorm: GGUF's name of the norm before the feed-forward part.
  func attention(
    layer: Int, interleaved: Bool = false, inputBias: TensorCollector.Bias = .none,
    outputBias: TensorCollector.Bias = .none, norms: HeadNorms = .none, feedForwardNorm: String = "ffn_norm",
    _ all: inout TensorCollector
  ) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
    try norm(to + "attn_norm", from: from + "input_layernorm", &all)
    try projections(
      layer: layer, interleaved: interleaved, inputBias: inputBias, outputBias: outputBias, norms: norms, &all)
    try norm(to + feedForwardNorm, from: from + "post_attention_layernorm", &all)
  }

  /// The norms of queries and keys.
  enum HeadNorms {
    case none
    /// One for all heads.
    case perHead
    /// Over the elements of all heads.
    case allHeads
  }

  /// Adds queries, keys and values with their norms, and the output of one layer's attention.
  func projections(
    layer: Int, interleaved: Bool = false, inputBias: TensorCollector.Bias = .none,
    outputBias: TensorCollector.Bias = .none, norms: HeadNorms = .none, _ all: inout TensorCollector
  ) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).self_attn.")
    for (letter, count, rotated) in [("q", heads, true), ("k", keyHeads, true), ("v", keyHeads, false)] {
      try all.linear(
        to + "attn_\(letter)", from: from + "\(letter)_proj", outputs: count * headSize, inputs: width,
        bias: inputBias, heads: interleaved && rotated && !config.isMistralForm ? count : nil)
    }
    if norms != .none {
      for (letter, count) in [("q", heads), ("k", keyHeads)] {
        try all.vector(
          to + "attn_\(letter)_norm.weight", from: from + "\(letter)_norm.weight",
          count: norms == .perHead ? headSize : count * headSize)
      }
    }
    try all.linear(
      to + "attn_output", from: from + "o_proj", outputs: width, inputs: queryWidth, bias: outputBias)
  }

  /// Adds gate, up and down of one layer without experts.
  func feedForward(
    layer: Int, from source: String = "mlp.", to suffix: String = "", width inner: Int? = nil,
    bias: TensorCollector.Bias = .none,
    _ all: inout TensorCollector
  ) throws {
    let inner = inner ?? feedForward
    for (name, projection, outputs, inputs) in [
      ("ffn_gate", "gate_proj", inner, width), ("ffn_up", "up_proj", inner, width),
      ("ffn_down", "down_proj", width, inner),
    ] {
      try all.linear(
        "blk.\(layer).\(name)\(suffix)", from: "model.layers.\(layer).\(source)\(projection)", outputs: outputs,
        inputs: inputs, bias: bias)
    }
  }

  /// Adds gate, up and down of one layer's experts, stacked. `parts` are the stored names.
  func experts(
    layer: Int, count: Int, width inner: Int, from source: String = "mlp.experts.",
    parts: (gate: String, up: String, down: String) = ("gate_proj", "up_proj", "down_proj"),
    _ all: inout TensorCollector
  ) throws {
    let from = "model.layers.\(layer).\(source)"
    for (name, projection, outputs, inputs) in [
      ("ffn_gate_exps", parts.gate, inner, width), ("ffn_up_exps", parts.up, inner, width),
      ("ffn_down_exps", parts.down, width, inner),
    ] {
      try all.experts("blk.\(layer).\(name).weight", count: count, outputs: outputs, inputs: inputs) {
        "\(from)\($0).\(projection).weight"
      }
    }
  }
}
