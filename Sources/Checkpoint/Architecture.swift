import Files
import GGUF

/// One architecture of the `transformers` package: its hyperparameters and tensors under GGUF's names, all of which
/// follow from config.json.
protocol Architecture: Sendable {
  /// The names that config.json gives it.
  static var names: [String] { get }
  /// GGUF's `general.architecture`.
  static var ggufName: String { get }
  /// The keys of config.json that it knows, beside those that all share.
  static var keys: KeyTable { get }

  /// The window that attention of all layers has and that of a GGUF has not; nil where there is none.
  static func window(_ config: Config) -> Int?

  init(config: Config) throws

  /// The keys that begin with the architecture's name, in the reference converter's order.
  func hyperparameters() throws -> Metadata
  /// All tensors in the order of computation.
  func collectTensors(_ all: inout TensorCollector) throws
  /// True for stored tensors that a GGUF leaves out on purpose.
  func leavesOut(_ name: String) -> Bool
}

extension Architecture {
  static func window(_ config: Config) -> Int? { nil }
  func leavesOut(_ name: String) -> Bool { false }
}

enum Architectures {
  static let all: [any Architecture.Type] = [
    LlamaCheckpoint.self, MistralCheckpoint.self, MixtralCheckpoint.self, Qwen2Checkpoint.self, Qwen3Checkpoint.self,
    Qwen3MoeCheckpoint.self, DeepseekV2Checkpoint.self, DeepseekV3Checkpoint.self,
  ]

  static func named(_ name: String, path: String) throws -> any Architecture.Type {
    guard let type = all.first(where: { $0.names.contains(name) }) else {
      let known = all.flatMap { $0.names }.joined(separator: ", ")
      throw FormatError(
        path: path, subject: "key architectures", "names \(name), which is unknown",
        hint: "known: \(known); CONTRIBUTING.md shows how to add one")
    }
    return type
  }
}
