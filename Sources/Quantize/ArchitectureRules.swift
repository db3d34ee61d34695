import GGUF

/// llama-quantize's exceptions for tensors of single architectures.
package enum ArchitectureRules {
  /// Whether a mix leaves a tensor's type as it is.
  package static func keepsType(_ name: String, architecture: String) -> Bool {
    architecture == "glm5-next" && glm5NextParts.contains { name.contains($0) }
  }

  /// Whether a mix gives a tensor at least Q8_0.
  package static func hasFloor(_ name: String, architecture: String) -> Bool {
    architecture == "glm5-next" && ["attn_q_a", "attn_q_b", "nextn.eh_proj"].contains { name.contains($0) }
  }

  private static let glm5NextParts = [
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate", "indexer_compressor_ape",
    "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight",
    "attn_k_b.weight", "attn_v_b.weight",
  ]

  /// Whether a stack of matrices becomes MXFP4 in the mix for experts. Stacks of latent attention do, except in one
  /// architecture.
  static func isExpertStack(_ tensor: TensorInfo, _ role: TensorRole, architecture: String) -> Bool {
    tensor.shape.matrices > 1
      && (architecture != "bailingmoe3" || [.feedForwardUp, .feedForwardGate, .feedForwardDown].contains(role))
  }
}
