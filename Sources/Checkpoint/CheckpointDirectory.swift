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
  private let recipes: [String: TensorRecipe]

  /// - Parameter pre: the name of the tokenizer's splitter, where its structure is unknown.
  public init(path: String, pre: String? = nil) throws {
    let directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let configPath = directory + "/config.json"
    guard FileManager.default.fileExists(atPath: configPath) else {
      throw CheckpointError(
        .missing, path: directory, "holds no config.json",
        hint: "MODEL is a directory as published on Hugging Face, or a GGUF file")
    }
    let config = try Config(path: configPath)
    let architecture = try Architectures.named(try config.architecture, path: configPath)
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
    self.metadata = metadata
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
      if name == "lm_head.weight", config["tie_word_embeddings"]?.bool == true { continue }
      throw CheckpointError(
        path: stored[name]?.file.path ?? stored.path, subject: "tensor \(name)",
        "has no place in \(try config.architecture)", hint: "weights and config.json are of different models")
    }
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
/// - Parameter pre: the name of a directory's splitter, where its structure is unknown; a GGUF names its own.
public func openModel(path: String, pre: String? = nil) throws -> any ModelSource {
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
    return try CheckpointDirectory(path: path, pre: pre)
  }
  guard pre == nil else {
    throw CheckpointError(path: path, subject: "--pre", "does not apply: a GGUF names its splitter itself")
  }
  return try GGUFFile(path: path)
}
