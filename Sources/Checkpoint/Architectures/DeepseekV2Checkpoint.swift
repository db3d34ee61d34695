import GGUF

/// DeepseekV2ForCausalLM: V2, V2.5, Coder-V2 and the Lite models.
///
/// Latent attention is stored as GGUF wants it for the absorbed form: queries meet the 512-wide latent directly, so that
/// all heads share one key. The up-projection [heads * (nope + v), rank] becomes `attn_k_b` [heads, rank, nope] (its rows
/// transposed per head) and `attn_v_b` [heads, v, rank].
struct DeepseekV2Checkpoint: Architecture {
  static let names = ["DeepseekV2ForCausalLM"]
  static let ggufName = "deepseek2"

  private let deepseek: DeepseekConfig

  init(config: Config) throws { deepseek = try DeepseekConfig(config) }

  func hyperparameters() throws -> Metadata { try deepseek.keys(defaultScoring: nil) }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all) }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
}
