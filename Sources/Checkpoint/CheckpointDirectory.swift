import Foundation
import GGUF
import Tensors

/// A Hugging Face directory as a model in GGUF's own names: nothing is converted until rows are read.
public struct CheckpointDirectory: ModelSource {
  public let name: String
  public let metadata: Metadata
  /// A line for each thing that the directory's files leave open or contradict each other in, and how it was read.
  public let notes: [String]
  public let tensors: [TensorInfo]
  public let configReview: ConfigReview
  private let recipes: [String: TensorRecipe]

  /// - Parameters:
  ///   - pre: the name of the tokenizer's splitter, where its structure is unknown.
  ///   - ignoring: keys of config.json that would be refused, and are to count as missing.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, ``CheckpointError``, and what reading files throws.
  public init(path: String, pre: String? = nil, ignoring: [String] = []) throws {
    let directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let configPath = directory + "/config.json"
    guard FileManager.default.fileExists(atPath: configPath) else {
      throw CheckpointError(
        .missing, path: directory, "holds no config.json",
        hint: "MODEL is a directory as published on Hugging Face, or a GGUF file")
    }
    let whole = try Config(path: configPath)
    let architecture = try Architectures.named(try whole.architecture, path: configPath)
    let (config, review) = try whole.reviewed(architecture, ignoring: ignoring)
    configReview = review
    let model = try architecture.init(config: config)
    var stored = try SafetensorsSet(directory: directory)
    try stored.attachScales(try QuantizationConfig(config))
    let known = stored
    var collector = TensorCollector(path: configPath) { known[$0] != nil }
    try model.collectTensors(&collector)
    let recipes = try collector.tensors.map { try TensorRecipe($0, from: stored) }
    try Self.check(stored, against: collector.tensors, model, config)
    name = URL(filePath: directory).standardizedFileURL.lastPathComponent
    tensors = recipes.map(\.info)
    var metadata = try modelMetadata(
      architecture.ggufName, name: name, tensors, try model.hyperparameters(), config: config, directory: directory)
    let tokenizer = try CheckpointTokenizer(
      directory: directory, config: config, architecture: architecture.ggufName, pre: pre)
    metadata.merge(tokenizer.metadata) { $1 }
    self.metadata = metadata.asStored
    notes = tokenizer.notes
    self.recipes = Dictionary(uniqueKeysWithValues: recipes.map { ($0.info.name, $0) })
  }

  /// A stored tensor that nothing asks for means that config.json and the weights are of different models, or that the
  /// model has parts that its architecture here does not know.
  private static func check(
    _ stored: SafetensorsSet, against tensors: [PlannedTensor], _ model: any Architecture, _ config: Config
  ) throws {
    let used = Set(tensors.flatMap(\.storedNames))
    // Buffers, scales of activations, and the head that tied embeddings make superfluous.
    let superfluous = [
      ".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias", "input_scale", "input_scale_ub",
      "activation_scale", ".k_scale", ".v_scale", ".q_scale", "output_scale",
    ]
    for name in stored.names where !used.contains(name) && !model.leavesOut(name) {
      if superfluous.contains(where: { name.hasSuffix($0) }) { continue }
      if isIgnoredBias(name, config.ignored) { continue }
      if name == "lm_head.weight", config["tie_word_embeddings"]?.bool == true { continue }
      throw CheckpointError(
        path: stored[name]?.file.path ?? stored.path, subject: "tensor \(name)",
        "has no place in \(try config.architecture)", hint: "weights and config.json are of different models")
    }
  }

  /// True for the biases that an ignored key announces.
  private static func isIgnoredBias(_ name: String, _ ignored: Set<String>) -> Bool {
    guard name.hasSuffix(".bias") else { return false }
    let attention = [
      "attention_bias", "qkv_bias", "o_bias", "attn_bias", "attention_out_bias", "attention_output_bias",
    ]
    return name.contains(".self_attn.") && !ignored.isDisjoint(with: attention)
      || name.contains(".mlp.") && ignored.contains("mlp_bias")
  }

  public func tensor(named name: String) -> TensorInfo? { recipes[name]?.info }

  public func path(of tensor: TensorInfo) -> String? { recipes[tensor.name]?.path }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let recipe = recipe(tensor)
    try output.withUnsafeMutableBytes { try recipe.readBytes(rows, into: $0) }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let recipe = recipe(tensor)
    try output.withUnsafeMutableBufferPointer { try recipe.readFloats(rows, into: $0) }
  }

  private func recipe(_ tensor: TensorInfo) -> TensorRecipe {
    guard let recipe = recipes[tensor.name] else { preconditionFailure("\(name) has no tensor \(tensor.name)") }
    return recipe
  }
}

/// Opens a model: a Hugging Face directory, a GGUF file, or the first shard of one.
///
/// - Parameters:
///   - pre: the name of a directory's splitter, where its structure is unknown; a GGUF names its own.
///   - ignoring: keys of a directory's config.json that would be refused.
public func openModel(path: String, pre: String? = nil, ignoring: [String] = []) throws -> any ModelSource {
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
    return try CheckpointDirectory(path: path, pre: pre, ignoring: ignoring)
  }
  guard pre == nil else {
    throw CheckpointError(path: path, subject: "--pre", "does not apply: a GGUF names its splitter itself")
  }
  if let key = ignoring.first { throw UnneededIgnoring(path: path, key: key) }
  return try GGUFFile(path: path)
}
