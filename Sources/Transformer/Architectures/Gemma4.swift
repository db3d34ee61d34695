import GGUF

/// Gemma 4: two kinds of layers that differ in window, rotation, length of heads and number of key heads. Scores have
/// no factor, and values are normalised. Small models have layers without keys, which use those of earlier layers, and
/// inputs of every layer that are embedded from tokens; one model has experts beside its dense networks.
extension DecoderArchitecture {
  static let gemma4 = DecoderArchitecture(
    name: "gemma4",
    honoured: GemmaLayers.honoured.union(["attention.shared_kv_layers", "embedding_length_per_layer_input"]),
    factors: ["ffn_gate_inp.scale", "ffn_down_exps.scale"]
  ) { model in
    let base = try DecoderBase(model)
    let shapes = try Gemma4Shapes(model, layers: base.layers)
    return try base.decoder(
      model,
      rotations: [
        LayerRotation(
          rope: try Rope(model, style: .halves, dimensions: shapes.headLength.full),
          factors: try model.optional("rope_freqs.weight", [shapes.headLength.full / 2])),
        LayerRotation(
          rope: Rope(
            style: .halves, dimensions: try model.int("rope.dimension_count_swa", in: 2...shapes.headLength.sliding),
            base: try model.optionalDouble("rope.freq_base_swa") ?? 10000)),
      ],
      embeddingScale: Float(base.width).squareRoot(), layerInputs: try shapes.inputs(model, base)
    ) { index in
      DecoderLayer(
        attention: try GroupedAttention(gemma4: model, layer: index, width: base.width, shapes),
        feedForward: try shapes.feedForward(model, layer: index, width: base.width),
        others: try shapes.others(model, layer: index, width: base.width))
    }
  }
}

/// The values of Gemma 4's keys that differ between layers.
private struct Gemma4Shapes {
  let layers: Int
  let isSliding: [Bool]
  let slidingWindow: Int
  let headLength: (full: Int, sliding: Int)
  let heads: [Int]
  let keyHeads: [Int]
  let feedForward: [Int]
  /// The first layer without keys of its own.
  let firstShared: Int
  /// Elements of a layer's inputs from tokens; 0 without them.
  let inputLength: Int

  init(_ model: ModelReader, layers: Int) throws {
    self.layers = layers
    isSliding = try model.slidingLayers(count: layers, period: 6)
    slidingWindow = try model.int("attention.sliding_window")
    headLength = (
      try model.int("attention.key_length", in: 2...1 << 16), try model.int("attention.key_length_swa", in: 2...1 << 16)
    )
    for (name, expected) in [
      ("attention.value_length", headLength.full), ("attention.value_length_swa", headLength.sliding),
    ] {
      guard try model.int(name) == expected else {
        throw ForwardError.invalidKey(model.key(name), reason: "differs from the length of keys, \(expected)")
      }
    }
    heads = try model.ints("attention.head_count", count: layers)
    keyHeads = try model.ints("attention.head_count_kv", count: layers)
    for (heads, keyHeads) in zip(heads, keyHeads) where heads % keyHeads != 0 {
      throw ForwardError.invalidKey(
        model.key("attention.head_count_kv"), reason: "is \(keyHeads), not a divisor of \(heads) heads")
    }
    feedForward = try model.ints("feed_forward_length", count: layers)
    firstShared = layers - (try model.optionalInt("attention.shared_kv_layers", in: 0...layers) ?? 0)
    inputLength = try model.optionalInt("embedding_length_per_layer_input", in: 0...1 << 16) ?? 0
    for layer in firstShared..<layers {
      guard let source = source(layer), isSliding[source] == isSliding[layer], keyHeads[source] == keyHeads[layer]
      else {
        throw ForwardError.invalidKey(
          model.key("attention.shared_kv_layers"), reason: "leaves layer \(layer) without keys of its kind")
      }
    }
  }

  /// The layer whose keys a layer without its own uses; nil for a layer with keys.
  func source(_ layer: Int) -> Int? {
    guard layer >= firstShared, firstShared >= 2 else { return nil }
    return isSliding[layer] ? firstShared - 2 : firstShared - 1
  }

  func keepsKeys(_ layer: Int) -> Bool { (firstShared..<layers).contains { source($0) == layer } }

  func inputs(_ model: ModelReader, _ base: DecoderBase) throws -> LayerInputs? {
    guard inputLength > 0 else { return nil }
    return LayerInputs(
      table: try model.tensor("per_layer_token_embd.weight", [layers * inputLength, base.vocabulary]),
      projection: try model.tensor("per_layer_model_proj.weight", [base.width, layers * inputLength]),
      norm: try model.tensor("per_layer_proj_norm.weight", [inputLength]), length: inputLength, layers: layers)
  }

  func feedForward(_ model: ModelReader, layer: Int, width: Int) throws -> any LayerPart {
    let prefix = "blk.\(layer)."
    let hasExperts = model.source.tensor(named: prefix + "ffn_gate_inp.weight") != nil
    let dense = try DenseFeedForward(
      gemma: model, layer: layer, width: width, length: feedForward[layer],
      postNorm: hasExperts ? nil : "post_ffw_norm")
    guard hasExperts else { return dense }
    func norm(_ name: String) throws -> TensorInfo { try model.tensor(prefix + name + ".weight", [width]) }
    return ParallelFeedForward(
      dense: dense, experts: try ExpertFeedForward(gemma4: model, layer: layer, width: width),
      denseNorm: try norm("post_ffw_norm_1"), expertNorm: try norm("post_ffw_norm_2"), norm: try norm("post_ffw_norm"))
  }

  /// The parts behind the feed-forward network.
  func others(_ model: ModelReader, layer: Int, width: Int) throws -> [any LayerPart] {
    let prefix = "blk.\(layer)."
    var parts: [any LayerPart] = []
    if inputLength > 0 {
      parts.append(
        LayerInput(
          layer: layer, gate: try model.linear(prefix + "inp_gate", width, inputLength),
          projection: try model.linear(prefix + "proj", inputLength, width),
          norm: try model.tensor(prefix + "post_norm.weight", [width])))
    }
    if let scale = try model.optional(prefix + "layer_output_scale.weight", [1]) {
      parts.append(LayerScale(scale: scale))
    }
    return parts
  }
}

extension GroupedAttention {
  fileprivate init(gemma4 model: ModelReader, layer index: Int, width: Int, _ shapes: Gemma4Shapes) throws {
    let prefix = "blk.\(index)."
    let isSliding = shapes.isSliding[index]
    let (heads, keyHeads) = (shapes.heads[index], shapes.keyHeads[index])
    let length = isSliding ? shapes.headLength.sliding : shapes.headLength.full
    let source = shapes.source(index)
    let hasValues = model.source.tensor(named: prefix + "attn_v.weight") != nil
    self.init(
      heads: heads, keyHeads: keyHeads, keyLength: length, valueLength: length,
      norm: try model.tensor(prefix + "attn_norm.weight", [width]),
      q: try model.linear(prefix + "attn_q", width, heads * length),
      k: source == nil ? try model.linear(prefix + "attn_k", width, keyHeads * length) : nil,
      v: source == nil && hasValues ? try model.linear(prefix + "attn_v", width, keyHeads * length) : nil,
      output: try model.linear(prefix + "attn_output", heads * length, width),
      queryNorm: try model.tensor(prefix + "attn_q_norm.weight", [length]),
      keyNorm: source == nil ? try model.tensor(prefix + "attn_k_norm.weight", [length]) : nil,
      rotation: isSliding ? 1 : 0, slidingWindow: isSliding ? shapes.slidingWindow : nil, scale: 1,
      normalizesValues: true, postNorm: try model.tensor(prefix + "post_attention_norm.weight", [width]),
      keySource: source, layer: index, keepsKeys: shapes.keepsKeys(index))
  }
}

extension ExpertFeedForward {
  fileprivate init(gemma4 model: ModelReader, layer index: Int, width: Int) throws {
    let prefix = "blk.\(index)."
    let experts = try model.int("expert_count")
    let length = try model.uniformInt("expert_feed_forward_length")
    let matrices = try model.gatesAndUps(prefix, width: width, length: length, experts: experts)
    self.init(
      norm: try model.tensor(prefix + "pre_ffw_norm_2.weight", [width]),
      router: Router(
        weight: try model.tensor(prefix + "ffn_gate_inp.weight", [width, experts]), bias: nil, gate: .softmax,
        experts: experts, used: try model.int("expert_used_count", in: 1...experts), groups: 1, groupsUsed: 1,
        normalizes: true, scale: 1, inputScale: try model.tensor(prefix + "ffn_gate_inp.scale", [width])),
      gates: matrices.gates, ups: matrices.ups,
      downs: try model.tensor(prefix + "ffn_down_exps.weight", [length, width, experts]), shared: nil,
      outputScales: try model.optional(prefix + "ffn_down_exps.scale", [experts]), function: .geluTanh)
  }
}
