import GGUF
import Tensors

/// One architecture of the `transformers` package: its hyperparameters and tensors under GGUF's names.
protocol Architecture: Sendable {
  /// The names that config.json gives it.
  static var names: [String] { get }
  /// GGUF's `general.architecture`.
  static var ggufName: String { get }

  init(config: Config) throws

  /// The keys that begin with the architecture's name.
  func hyperparameters() throws -> Metadata
  /// All tensors in the order of computation.
  func tensors(of stored: SafetensorsSet) throws -> [TensorRecipe]
}

enum Architectures {
  static let all: [any Architecture.Type] = [LlamaCheckpoint.self]

  static func named(_ name: String, path: String) throws -> any Architecture.Type {
    guard let type = all.first(where: { $0.names.contains(name) }) else {
      let known = all.flatMap { $0.names }.joined(separator: ", ")
      throw CheckpointError(
        path: path, subject: "key architectures", "names \(name), which is unknown",
        hint: "known: \(known); CONTRIBUTING.md shows how to add one")
    }
    return type
  }
}

/// Collects recipes and checks every shape against what config.json promises.
struct TensorCollector {
  let stored: SafetensorsSet
  private(set) var recipes: [TensorRecipe] = []

  init(_ stored: SafetensorsSet) { self.stored = stored }

  func find(_ name: String, shape: [Int]) throws -> StoredTensor {
    guard let tensor = stored[name] else {
      throw CheckpointError(path: stored.path, subject: "tensor \(name)", "is missing")
    }
    guard tensor.shape == shape else {
      throw CheckpointError(
        path: tensor.file.path, subject: "tensor \(name)", "has shape \(tensor.shape); config.json asks for \(shape)")
    }
    return tensor
  }

  /// A matrix [outputs, inputs]; kept in the stored type.
  mutating func matrix(_ name: String, from source: String, outputs: Int, inputs: Int, heads: Int? = nil) throws {
    let tensor = try find(source, shape: [outputs, inputs])
    append(name, tensor, type: tensor.element.type, heads: heads)
  }

  /// A vector, such as a norm or a bias; always F32.
  mutating func vector(_ name: String, from source: String, count: Int) throws {
    append(name, try find(source, shape: [count]), type: .f32, heads: nil)
  }

  mutating func computed(_ name: String, _ values: [Float]) {
    guard let shape = Shape([values.count]) else { return }
    recipes.append(
      TensorRecipe(info: TensorInfo(name: name, shape: shape, type: .f32), rows: .computed(values)))
  }

  private mutating func append(_ name: String, _ tensor: StoredTensor, type: GGMLType, heads: Int?) {
    guard let shape = Shape(tensor.shape.reversed()) else { return }
    recipes.append(
      TensorRecipe(
        info: TensorInfo(name: name, shape: shape, type: type),
        rows: heads.map { .interleaved(tensor, heads: $0) } ?? .stored(tensor)))
  }
}
