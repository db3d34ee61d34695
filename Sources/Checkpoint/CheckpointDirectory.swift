import Blocks
import Foundation
import GGUF
import Tensors

/// A Hugging Face directory as a model in GGUF's own names: nothing is converted until rows are read.
public struct CheckpointDirectory: ModelSource {
  public let name: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  private let recipes: [String: TensorRecipe]

  public init(path: String) throws {
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
    let recipes = try model.tensors(of: try SafetensorsSet(directory: directory))
    name = URL(filePath: directory).lastPathComponent
    var metadata: Metadata = [
      "general.architecture": .string(architecture.ggufName),
      "general.type": .string("model"),
      "general.name": .string(name),
      "general.size_label": .string(sizeLabel(recipes.reduce(0) { $0 + $1.info.shape.count })),
    ]
    metadata.merge(try model.hyperparameters()) { $1 }
    metadata.merge(try tokenizerMetadata(directory: directory, vocabularySize: try config.int("vocab_size"))) { $1 }
    metadata["general.quantization_version"] = .uint32(2)
    self.metadata = metadata
    self.tensors = recipes.map(\.info)
    self.recipes = Dictionary(uniqueKeysWithValues: recipes.map { ($0.info.name, $0) })
  }

  public func tensor(named name: String) -> TensorInfo? { recipes[name]?.info }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let recipe = recipe(tensor)
    if recipe.storedType == tensor.type { return try recipe.read(rows: rows, into: &output) }
    precondition(tensor.type == .f32, "\(tensor.name) as \(tensor.type)")
    var floats = [Float](repeating: 0, count: rows.count * tensor.shape.columns)
    var span = floats.mutableSpan
    try readRows(of: tensor, rows: rows, into: &span)
    output.withUnsafeMutableBytes { output in floats.withUnsafeBytes { output.copyMemory(from: $0) } }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let recipe = recipe(tensor)
    guard let rowBytes = recipe.storedType.rowBytes(columns: tensor.shape.columns) else { return }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try recipe.read(rows: rows, into: &raw)
    decodeRows(bytes.span.bytes, as: recipe.storedType, into: &output)
  }

  private func recipe(_ tensor: TensorInfo) -> TensorRecipe {
    guard let recipe = recipes[tensor.name] else { preconditionFailure("\(name) has no tensor \(tensor.name)") }
    return recipe
  }
}

/// The number of parameters as file names carry it: 4.2M, 8.0B, 671B.
func sizeLabel(_ parameters: Int) -> String {
  let (value, unit) =
    switch parameters {
    case 1_000_000_000_000...: (Double(parameters) / 1e12, "T")
    case 1_000_000_000...: (Double(parameters) / 1e9, "B")
    case 1_000_000...: (Double(parameters) / 1e6, "M")
    default: (Double(parameters) / 1e3, "K")
    }
  return (value < 10 ? String(format: "%.1f", value) : String(format: "%.0f", value)) + unit
}

/// Opens a model: a Hugging Face directory, a GGUF file, or the first shard of one.
public func openModel(path: String) throws -> any ModelSource {
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
    return try CheckpointDirectory(path: path)
  }
  return try GGUFFile(path: path)
}
