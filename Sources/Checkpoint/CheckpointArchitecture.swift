import Files
import GGUF
import OrderedCollections

/// An architecture of the `transformers` package. Derives the hyperparameters and tensors, under GGUF's names, from
/// config.json alone.
protocol CheckpointArchitecture: Sendable {
  /// The values of config.json's `architectures` that select it.
  static var names: [String] { get }
  /// GGUF's `general.architecture`.
  static var ggufName: String { get }
  /// The keys of config.json that it understands, beside ``KeyTable/shared``.
  static var keys: KeyTable { get }

  /// Whether a config.json that names it is of this architecture, where several have the name.
  static func claims(_ config: Config) -> Bool

  /// Whether the model may be a part of a larger one, whose config.json has its keys under `text_config`.
  static var isNested: Bool { get }

  /// The values of keys that config.json may leave out, beside those that a reader of the key knows.
  static var defaults: [String: JSONValue] { get }

  /// Whether a GGUF lists the tokens that generation_config.json suppresses.
  static var carriesSuppressedTokens: Bool { get }

  /// Whether readers of the GGUF take 32 in place of YaRN's first bound where config.json declares 1.
  static var replacesBeta: Bool { get }

  /// The sliding window that all layers have and that a GGUF cannot express; nil if there is none.
  static func window(_ config: Config) -> Int?

  init(config: Config) throws

  /// The GGUF keys that begin with the architecture's name, in the reference converter's order.
  func hyperparameters() throws -> Metadata
  /// Adds all tensors to `all` in the order of computation.
  func collectTensors(_ all: inout TensorCollector) throws
  /// The number of blocks for multi-token prediction that follow the layers of a GGUF.
  var predictionBlocks: Int { get }
  /// True for stored tensors that are not written to a GGUF.
  func leavesOut(_ name: String) -> Bool
}

extension CheckpointArchitecture {
  static func claims(_ config: Config) -> Bool { true }
  static var isNested: Bool { false }
  static var defaults: [String: JSONValue] { [:] }
  static var carriesSuppressedTokens: Bool { false }
  static var replacesBeta: Bool { false }
  static func window(_ config: Config) -> Int? { nil }
  var predictionBlocks: Int { 0 }
  func leavesOut(_ name: String) -> Bool { false }
}

/// The architectures of checkpoints that are read: GGUF's name, and those of config.json.
package let readArchitectures = Architectures.all.map { (gguf: $0.ggufName, names: $0.names) }

enum Architectures {
  static let all: [any CheckpointArchitecture.Type] = [
    LlamaCheckpoint.self, MistralCheckpoint.self, MixtralCheckpoint.self, Qwen2Checkpoint.self, Qwen3Checkpoint.self,
    Qwen3MoeCheckpoint.self, DeepseekV2Checkpoint.self, DeepseekV3Checkpoint.self, KimiK25Checkpoint.self,
    GptOssCheckpoint.self,
    Qwen35Checkpoint.self, Qwen35MoeCheckpoint.self, Qwen3NextCheckpoint.self,
    Gemma3Checkpoint.self, Gemma4Checkpoint.self, Gemma4UnifiedCheckpoint.self, Qwen3VLCheckpoint.self,
    Qwen3VLMoeCheckpoint.self,
    Glm4MoeCheckpoint.self, Glm4MoeLiteCheckpoint.self, Mistral4Checkpoint.self, Mistral3Checkpoint.self,
    MistralLarge3Checkpoint.self,
    MiniMaxM2Checkpoint.self, SmolLM3Checkpoint.self, SeedOssCheckpoint.self, Olmo2Checkpoint.self,
    GraniteCheckpoint.self, Phi3Checkpoint.self, Ernie45Checkpoint.self, Ernie45MoeCheckpoint.self, HYV3Checkpoint.self,
    MuseGlimmerCheckpoint.self, GlmDsaCheckpoint.self, DeepseekV32Checkpoint.self,
  ]

  /// The architecture that config.json names, and the configuration of its text model.
  static func resolved(_ config: Config) throws -> (architecture: any CheckpointArchitecture.Type, config: Config) {
    let architecture = try named(try config.architecture, config)
    if architecture.isNested, let text = config["text_config"], text.object == nil {
      throw FormatError(path: config.path, subject: "key text_config", "is \(text.text), not an object")
    }
    return (architecture, (architecture.isNested ? config.flattened() : config).filled(architecture.defaults))
  }

  private static func named(_ name: String, _ config: Config) throws -> any CheckpointArchitecture.Type {
    guard let type = all.first(where: { $0.names.contains(name) && $0.claims(config) }) else {
      let similar = similar(to: name)
      throw FormatError(
        path: config.path, subject: "key architectures", "names \(name), which is unknown",
        hint: (similar.isEmpty ? "" : "similar: \(similar.joined(separator: ", ")); ")
          + "Documentation/converting.md lists the known ones, and CONTRIBUTING.md shows how to add one")
    }
    return type
  }

  /// At most three known names, those that have the most letters at their beginning in common with an unknown one.
  private static func similar(to name: String) -> [String] {
    let candidates = OrderedSet(all.flatMap { $0.names }).map { candidate in
      (name: candidate, common: zip(candidate.lowercased(), name.lowercased()).prefix { $0 == $1 }.count)
    }
    let nearest = candidates.filter { $0.common >= 4 && $0.name != name }.sorted {
      ($1.common, $0.name) < ($0.common, $1.name)
    }
    return nearest.prefix(3).map(\.name)
  }
}
