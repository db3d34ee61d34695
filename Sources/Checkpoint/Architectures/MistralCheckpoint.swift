import GGUF

/// MistralForCausalLM: Mistral 7B, Nemo, Small, and Large 2 with its derivatives. Their GGUF architecture is `llama`,
/// which has no sliding window. The window of the first 7B is stored as the length up to which results are exact.
struct MistralCheckpoint: CheckpointArchitecture {
  static let names = ["MistralForCausalLM"]
  static let ggufName = "llama"
  static let keys = LlamaCheckpoint.keys.adding(KeyTable(rules: [.limitingWindow]))

  static func window(_ config: Config) -> Int? { config.limitingWindow(absent: 4096) }

  private let llama: LlamaCheckpoint
  private let window: Int?

  init(config: Config) throws {
    llama = try LlamaCheckpoint(config: config, keyHeads: 8)
    window = Self.window(config)
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try llama.hyperparameters()
    if let window { metadata["llama.attention.sliding_window"] = .uint32(UInt32(window)) }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws { try llama.collectTensors(&all) }
}
