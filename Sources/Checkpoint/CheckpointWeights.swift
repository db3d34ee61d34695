import Files

/// A directory's weights, assembled into the tensors that config.json implies.
struct CheckpointWeights {
  /// In the order of computation.
  let tensors: [AssembledTensor]
  let notes: [CheckpointNote]
  /// The paths of the files.
  let files: [String]
  /// The architecture, with the number of blocks for multi-token prediction that are stored.
  let model: any CheckpointArchitecture

  init(
    directory: String, _ files: WeightFiles, _ architecture: any CheckpointArchitecture.Type, _ given: Config
  ) throws {
    var stored = try SafetensorsSet(directory: directory, files)
    self.files = files.files.map { directory + "/" + $0 }
    var notes = stored.notes
    if architecture.isNested { stored.keepText(hasTowers: !given.towers.isEmpty) }
    if given.isMistralForm { stored.nameAsTransformers() }
    var config = given
    if config.prediction == .declared {
      let layers = config["num_hidden_layers"]?.int ?? 0
      config.prediction = .stored(stored.predictionBlocks(layers: layers))
    }
    let model = try architecture.init(config: config)
    self.model = model
    let declared = try architecture.init(config: given).predictionBlocks
    if model.predictionBlocks < declared {
      notes.append(.predictionBlocks(declared: declared, stored: model.predictionBlocks))
    }
    try Self.refuseAdapter(in: stored)
    let quantization = try QuantizationConfig(config)
    try stored.unpack(quantization)
    if let note = try stored.check(quantization, configPath: config.path) { notes.append(note) }
    try stored.attachScales(quantization)
    let tied = try TiedEmbeddings.resolve(&stored, config)
    if let note = tied.note { notes.append(note) }
    let resolved = stored
    var collector = TensorCollector(path: config.path, keepsTiedHead: tied.keepsHead) { resolved[$0] != nil }
    try model.collectTensors(&collector)
    tensors = try collector.tensors.map { try AssembledTensor($0, from: resolved) }
    try Self.check(resolved, against: collector.tensors, model, config)
    self.notes = notes
  }

  /// Refuses adapters wrapped around the model's matrices, since they change its output.
  private static func refuseAdapter(in stored: SafetensorsSet) throws {
    guard let name = stored.names.first(where: { $0.contains(".lora_") || $0.contains(".base_layer.") }) else { return }
    throw FormatError(
      path: stored[name]?.file.path ?? stored.path, subject: "tensor \(name)",
      "belongs to a LoRA adapter that is not merged", hint: "merge it into the model (merge_and_unload of peft) first")
  }

  /// Refuses stored tensors that are not used: config.json and the weights are of different models, or the model has
  /// parts that this architecture lacks.
  private static func check(
    _ stored: SafetensorsSet, against tensors: [ExpectedTensor], _ model: any CheckpointArchitecture, _ config: Config
  ) throws {
    let used = Set(tensors.flatMap(\.storedNames))
    // Buffers, and scales of activations.
    let ignorable = [
      ".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias", "input_scale", "input_scale_ub",
      "activation_scale", ".k_scale", ".v_scale", ".q_scale", "output_scale", "input_global_scale", ".qscale_act",
    ]
    for name in stored.names where !used.contains(name) && !model.leavesOut(name) {
      // An empty tensor has nothing to lose.
      if ignorable.contains(where: { name.hasSuffix($0) }) || stored[name]?.count == 0 { continue }
      if isIgnoredBias(name, config.ignored) { continue }
      throw FormatError(
        path: stored[name]?.file.path ?? stored.path, subject: "tensor \(stored.title(name))",
        "is not part of \(try config.architecture)", hint: "weights and \(stored.configuration) are of different models"
      )
    }
  }

  /// True for a bias whose key in config.json is ignored.
  private static func isIgnoredBias(_ name: String, _ ignored: Set<String>) -> Bool {
    guard name.hasSuffix(".bias") else { return false }
    let attention = [
      "attention_bias", "qkv_bias", "o_bias", "attn_bias", "attention_out_bias", "attention_output_bias",
    ]
    return name.contains(".self_attn.") && !ignored.isDisjoint(with: attention)
      || name.contains(".mlp.") && ignored.contains("mlp_bias")
  }
}
