import GGUF

/// MistralForCausalLM: Mistral 7B, Nemo, Small, and Large 2 with its derivatives. To GGUF they are `llama`; the sliding
/// window of the first 7B is left out, as every llama.cpp file does.
struct MistralCheckpoint: Architecture {
  static let names = ["MistralForCausalLM"]
  static let ggufName = "llama"

  private let llama: LlamaCheckpoint

  init(config: Config) throws { llama = try LlamaCheckpoint(config: config) }

  func hyperparameters() throws -> Metadata { try llama.hyperparameters() }
  func collectTensors(_ all: inout TensorCollector) throws { try llama.collectTensors(&all) }
}
