import Files

extension Config {
  /// The configuration of a directory's model, from config.json or params.json.
  ///
  /// - Parameter weights: the name of a chosen file of weights.
  static func read(in directory: String, weights: String? = nil) throws -> Config {
    let listing = DirectoryListing(path: directory)
    let path = directory + "/config.json"
    guard MistralForm.isRead(listing, chosen: weights) else { return try Config(path: path) }
    var config = try mistral(path: directory + "/" + MistralForm.parameters)
    if listing.names.contains("config.json") {
      config.notes.append("\(path): is not read: \(MistralForm.parameters) describes the consolidated weights")
    }
    return config
  }

  /// Reads params.json, and gives its values the names of config.json.
  ///
  /// Other keys keep their names, so that the review lists them as unknown.
  static func mistral(path: String) throws -> Config {
    guard let given = try JSONValue.read(path, limit: 16 << 20).object else {
      throw FormatError(path: path, "is not a JSON object")
    }
    var parameters = MistralParameters(path: path, given)
    try parameters.translate()
    var result = try Config(.object(parameters.fields), path: path, names: parameters.names)
    result.addTowers(parameters.towers)
    result.notes = parameters.notes
    return result
  }
}

/// The values of a params.json under the names of config.json.
private struct MistralParameters {
  let path: String
  /// The keys that have not been translated.
  private var given: [String: JSONValue]
  private(set) var fields: [String: JSONValue] = [:]
  /// The names in params.json of keys of config.json.
  private(set) var names: [String: String] = [:]
  private(set) var towers: [String] = []
  private(set) var notes: [String] = []

  init(path: String, _ given: [String: JSONValue]) { (self.path, self.given) = (path, given) }

  private static let keys = [
    ("dim", "hidden_size"), ("n_layers", "num_hidden_layers"), ("n_heads", "num_attention_heads"),
    ("n_kv_heads", "num_key_value_heads"), ("hidden_dim", "intermediate_size"), ("norm_eps", "rms_norm_eps"),
    ("tied_embeddings", "tie_word_embeddings"), ("activation", "hidden_act"), ("causal", "is_causal"),
  ]
  private static let keysOfExperts = [
    ("route_every_n", "moe_layer_freq"), ("first_k_dense_replace", "first_k_dense_replace"),
    ("num_experts_per_tok", "num_experts_per_tok"), ("num_experts", "n_routed_experts"),
    ("expert_hidden_dim", "moe_intermediate_size"), ("routed_scale", "routed_scaling_factor"),
    ("num_shared_experts", "n_shared_experts"), ("num_expert_groups", "n_group"),
    ("num_expert_groups_per_tok", "topk_group"),
  ]

  private func failure(_ key: String, _ reason: String, hint: String? = nil) -> FormatError {
    FormatError(path: path, subject: "key \(key)", reason, hint: hint)
  }

  private mutating func set(_ name: String, _ value: JSONValue?, from key: String) {
    names[name] = key
    if let value { fields[name] = value }
  }

  /// Removes an object from the keys to translate; nil if it is missing or null.
  private mutating func object(_ key: String) throws -> [String: JSONValue]? {
    guard let value = given.removeValue(forKey: key), value != .null else { return nil }
    guard let object = value.object else { throw failure(key, "is \(value.text), not an object") }
    return object
  }

  mutating func translate() throws {
    for (key, name) in Self.keys { set(name, given.removeValue(forKey: key), from: key) }
    for key in ["vision_encoder", "multimodal"] where given[key]?.object != nil {
      towers.append(key)
      given[key] = nil
    }
    let isTempered = given.keys.contains("llama_4_scaling")
    let hasExperts = try experts()
    try positions(hasExperts: hasExperts)
    try quantization()
    let window = given.removeValue(forKey: "sliding_window")
    // Some files have a string. A missing window means none.
    fields["sliding_window"] = window?.string.flatMap { Int($0) }.map { .int($0) } ?? window ?? .null
    length()
    // As llama.cpp reads a file without it.
    if given["rope_theta"] ?? .null == .null {
      given["rope_theta"] = .int(10_000)
      notes.append("\(path): key rope_theta is missing, and 10000 is written")
    }
    let dense = isTempered ? "Ministral3ForCausalLM" : "MistralForCausalLM"
    fields["architectures"] = .array([.string(hasExperts ? MistralLarge3Checkpoint.names[0] : dense)])
    for (key, value) in given {
      if let other = fields[key], !other.equals(value) {
        throw failure(key, "is \(value.text), and \(names[key] ?? key) \(other.text)")
      }
      fields[key] = value
    }
  }

  private mutating func length() {
    let longest = given.removeValue(forKey: "max_seq_len")
    if let longest, let other = given["max_position_embeddings"], !longest.equals(other) {
      notes.append(
        "\(path): key max_seq_len is \(longest.text), and max_position_embeddings, which is written, \(other.text)")
    }
    let declared = given.removeValue(forKey: "max_position_embeddings") ?? longest
    if declared == nil {
      notes.append("\(path): key max_position_embeddings is missing, and 128000 is written as the context's length")
    }
    fields["max_position_embeddings"] = declared ?? .int(128_000)
    given["max_batch_size"] = nil
  }

  /// Translates the keys of experts; false for a dense model.
  private mutating func experts() throws -> Bool {
    guard var moe = try object("moe") else { return false }
    guard given["kv_lora_rank"] ?? .null != .null else {
      throw failure(
        "moe", "declares experts without latent attention, as Mixtral has, which are not read in Mistral's own format",
        hint: "use the model's Hugging Face form (model.safetensors)")
    }
    for (key, name) in Self.keysOfExperts { set(name, moe.removeValue(forKey: key), from: "moe." + key) }
    for key in ["expert_parallel", "expert_model_parallel"] { moe[key] = nil }
    for (key, value) in moe { fields["moe." + key] = value }
    fields["scoring_func"] = .string("softmax")
    fields["norm_topk_prob"] = .bool(true)
    return true
  }

  /// Translates YaRN and the growth of scores with the position.
  private mutating func positions(hasExperts: Bool) throws {
    let growth = try object("llama_4_scaling")
    guard var yarn = try object("yarn") else {
      if let growth, growth["beta"]?.double != 0 {
        throw failure("llama_4_scaling", "is not supported without yarn, which has the length from which scores grow")
      }
      return
    }
    var rope: [String: JSONValue] = ["rope_type": .string("yarn")]
    for (key, name) in [
      ("factor", "factor"), ("original_max_position_embeddings", "original_max_position_embeddings"),
      ("beta", "beta_fast"), ("alpha", "beta_slow"),
    ] {
      rope[name] = yarn.removeValue(forKey: key)
      names["rope_parameters." + name] = "yarn." + key
    }
    let applies = yarn.removeValue(forKey: "apply_scale") ?? .null
    guard applies == .null || applies.bool != nil else {
      throw failure("yarn.apply_scale", "is \(applies.text), not true or false")
    }
    // With both scales, cosines and sines keep their magnitude. Readers multiply the scores of latent attention.
    if applies.bool == false || hasExperts {
      if growth == nil, !hasExperts {
        rope["attention_factor"] = .int(1)
      } else {
        (rope["mscale"], rope["mscale_all_dim"]) = (.int(1), .int(1))
      }
    } else if growth != nil {
      rope["mscale_all_dim"] = .int(0)
    }
    for (key, value) in yarn {
      guard rope[key] ?? .null == .null else { throw failure("yarn.\(key)", "contradicts the other keys of yarn") }
      rope[key] = value
    }
    if let growth {
      let key = "original_max_position_embeddings"
      if let length = growth[key], length != .null, let other = rope[key], !length.equals(other) {
        throw failure(
          "llama_4_scaling.\(key)", "is \(length.text), and that of yarn, which readers take, \(other.text)")
      }
      rope["llama_4_scaling_beta"] = growth["beta"]
      names["rope_parameters.llama_4_scaling_beta"] = "llama_4_scaling.beta"
      for (other, value) in growth where other != key && other != "beta" { fields["llama_4_scaling." + other] = value }
    }
    set("rope_parameters", .object(rope), from: "yarn")
  }

  private mutating func quantization() throws {
    guard let quantization = try object("quantization") else { return }
    if quantization["quant_method"]?.string != nil {
      return set("quantization_config", .object(quantization), from: "quantization")
    }
    let form = quantization["qformat_weight"] ?? .null
    guard form == .string("fp8_e4m3") else {
      throw failure("quantization.qformat_weight", "is \(form.text)", hint: "known: fp8_e4m3")
    }
    set("quantization_config", .object(["quant_method": .string("fp8")]), from: "quantization")
  }
}
