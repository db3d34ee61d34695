#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// DeepSeek V2, V3 and R1: latent attention; first dense layers, then layers of experts with a shared expert.
extension DecoderArchitecture {
  static let deepseek2 = latent("deepseek2")
  static let mistral4 = latent("mistral4")
  // An indexer selects the keys of longer texts.
  static let glmDSA = latent("glm-dsa", gate: .sigmoid, isIndexed: true)
  static let deepseek32 = latent("deepseek32", isIndexed: true)

  /// - Parameters:
  ///   - gate: the router of files that do not name one.
  ///   - isIndexed: whether an indexer selects keys. Up to as many tokens as it selects, attention is to all.
  private static func latent(
    _ name: String, gate: Router.Gate? = nil, isIndexed: Bool = false
  ) -> DecoderArchitecture {
    DecoderArchitecture(
      name: name,
      honoured: RoutedKeys.all.union([
        "rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_beta_fast", "attention.temperature_scale",
        "attention.indexer.top_k",
      ])
    ) { model in
      let base = try DecoderBase(model)
      let gate = gate ?? (model.isGLM47Flash(base) ? .sigmoid : .softmax)
      let temperature = try model.temperature(length: "attention.temperature_length")
      let limit =
        isIndexed
        ? TextLimit(
          key: model.key("attention.indexer.top_k"), positions: try model.int("attention.indexer.top_k")) : nil
      let dense = try model.optionalInt("leading_dense_block_count") ?? 0
      let ropeLength = try model.int("rope.dimension_count", in: 2...1 << 16)
      var rope = try Rope(model, style: .adjacent, dimensions: ropeLength)
      // Files of Kimi K2 have 1, in whose place runtimes take 32.
      if let beta = try model.optionalDouble("rope.scaling.yarn_beta_fast"), ![1, 32].contains(beta) {
        throw ForwardError.unsupportedValue(
          key: model.key("rope.scaling.yarn_beta_fast"), value: "\(beta)", reason: "but runtimes use 32")
      }
      // `rope.magnitude` scales the rotated elements, and `queryKeyScale` scales whole queries and keys. A multiplier
      // replaces YaRN's growth of the rotated elements and adds its own to the scores. With linear scaling only the
      // scores have the growth.
      let multiplier = try model.optionalDouble("rope.scaling.yarn_log_multiplier") ?? 0
      var queryKeyScale = rope.magnitude
      if rope.yarn == nil {
        queryKeyScale *= rope.growth
      } else if multiplier != 0 {
        rope.magnitude /= rope.growth
        queryKeyScale = rope.magnitude
      }
      queryKeyScale *= 1 + multiplier * log(rope.factor)
      return try base.decoder(model, rotations: [LayerRotation(rope: rope)], textLimit: limit) { index in
        var attention = try LatentAttention(
          model, layer: index, width: base.width, ropeLength: ropeLength, queryKeyScale: queryKeyScale)
        attention.temperature = temperature
        return DecoderLayer(
          attention: attention,
          feedForward: try index < dense || !model.hasExperts
            ? DenseFeedForward(model, layer: index, width: base.width)
            : ExpertFeedForward(routed: model, layer: index, width: base.width, gate: gate))
      }
    }
  }
}

extension ModelReader {
  /// Files of GLM 4.7 Flash do not name their router; readers recognise the model by its shape.
  fileprivate func isGLM47Flash(_ base: DecoderBase) -> Bool {
    [47, 48].contains(base.layers) && base.vocabulary == 154_880
  }
}

extension LatentAttention {
  /// - Parameter queryKeyScale: the factor of queries and of keys; scores are multiplied by its square.
  fileprivate init(
    _ model: ModelReader, layer index: Int, width: Int, ropeLength: Int, queryKeyScale: Double
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let heads = try model.uniformInt("attention.head_count")
    let kvRank = try model.int("attention.kv_lora_rank")
    // In files with split kv_b the usual keys have the lengths of the latent space, and `_mla` keys those of heads.
    let isSplit = model.source.tensor(named: prefix + "attn_k_b.weight") != nil
    let suffix = model.has("attention.key_length_mla") ? "_mla" : ""
    let length = try model.int("attention.key_length" + suffix, in: 1...1 << 16)
    let valueLength = try model.int("attention.value_length" + suffix, in: 1...1 << 16)
    guard length > ropeLength else {
      throw .invalidKey(
        model.key("attention.key_length" + suffix), reason: "is \(length), but \(ropeLength) elements are rotated")
    }
    let nopeLength = length - ropeLength
    let rank = model.source.tensor(named: prefix + "attn_q_a.weight")?.shape.rows
    let expansion: Expansion =
      isSplit
      ? .absorbed(
        k: try model.tensor(prefix + "attn_k_b.weight", [nopeLength, kvRank, heads]),
        v: try model.tensor(prefix + "attn_v_b.weight", [kvRank, valueLength, heads]))
      : .joint(try model.tensor(prefix + "attn_kv_b.weight", [kvRank, heads * (nopeLength + valueLength)]))
    self.init(
      heads: heads, nopeLength: nopeLength, ropeLength: ropeLength, valueLength: valueLength, kvRank: kvRank,
      norm: try model.tensor(prefix + "attn_norm.weight", [width]),
      qA: try rank.map { (rank) throws(ForwardError) in try model.linear(prefix + "attn_q_a", width, rank) },
      qANorm: try rank.map { (rank) throws(ForwardError) in
        try model.tensor(prefix + "attn_q_a_norm.weight", [rank])
      },
      qB: rank == nil
        ? try model.linear(prefix + "attn_q", width, heads * length)
        : try model.linear(prefix + "attn_q_b", rank!, heads * length),
      kvA: try model.linear(prefix + "attn_kv_a_mqa", width, kvRank + ropeLength),
      kvANorm: try model.tensor(prefix + "attn_kv_a_norm.weight", [kvRank]), expansion: expansion,
      output: try model.linear(prefix + "attn_output", heads * valueLength, width),
      scale: Float(queryKeyScale * queryKeyScale / Double(length).squareRoot()))
  }
}
