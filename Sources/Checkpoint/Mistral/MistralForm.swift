import Files
import Foundation

/// Mistral's own form of a model: params.json, `consolidated*.safetensors` and tekken.json. Large 3 has no other.
enum MistralForm {
  static let parameters = "params.json"
  /// The beginning of the names of weights.
  static let weights = "consolidated"

  /// Whether this form of a directory is read, since it is the only one, or since a file of its weights was chosen.
  ///
  /// - Parameter chosen: the name of the file.
  static func isRead(_ listing: DirectoryListing, chosen: String?) -> Bool {
    guard listing.names.contains(parameters) else { return false }
    if let chosen { return chosen.hasPrefix(weights) }
    let files = listing.names(endingIn: ".safetensors", ".safetensors.index.json")
    return files.contains { $0.hasPrefix(weights) }
      ? !files.contains { $0.hasPrefix("model.") || $0.hasPrefix("model-") }
      : files.isEmpty && !listing.names.contains { $0 == "config.json" || $0.hasSuffix(".pth") }
  }

  /// The name that `transformers` has for a stored tensor; nil for tensors that are not part of a language model.
  static func name(of stored: String) -> String? {
    for (ours, theirs) in outer where stored.hasPrefix(theirs) { return ours + stored.dropFirst(theirs.count) }
    guard let (layer, inner) = parts(of: stored, behind: "layers.") else { return nil }
    if let (expert, matrix) = parts(of: inner, behind: "experts.") {
      guard let (ours, theirs) = matrices.first(where: { matrix.hasPrefix($0.1) }) else { return nil }
      return "model.layers.\(layer).mlp.experts.\(expert)." + ours + matrix.dropFirst(theirs.count)
    }
    guard let (ours, theirs) = ofLayer.first(where: { inner.hasPrefix($0.1) }) else { return nil }
    return "model.layers.\(layer)." + ours + inner.dropFirst(theirs.count)
  }

  /// The name in the files of a tensor under `transformers`' name.
  static func stored(_ name: String) -> String {
    for (ours, theirs) in outer where name.hasPrefix(ours) { return theirs + name.dropFirst(ours.count) }
    guard let (layer, inner) = parts(of: name, behind: "model.layers.") else { return name }
    if let (expert, matrix) = parts(of: inner, behind: "mlp.experts."),
      let (ours, theirs) = matrices.first(where: { matrix.hasPrefix($0.0) })
    {
      return "layers.\(layer).experts.\(expert)." + theirs + matrix.dropFirst(ours.count)
    }
    guard let (ours, theirs) = ofLayer.first(where: { inner.hasPrefix($0.0) }) else { return name }
    return "layers.\(layer)." + theirs + inner.dropFirst(ours.count)
  }

  /// True for tensors of vision, which are left out.
  static func isOfTower(_ name: String) -> Bool {
    ["vision_encoder.", "vision_language_adapter.", "patch_merger.", "pre_mm_projector_norm."].contains {
      name.hasPrefix($0)
    }
  }

  /// The number after a prefix, and the text after the number's dot.
  private static func parts(of name: some StringProtocol, behind prefix: String) -> (Substring, Substring)? {
    guard name.hasPrefix(prefix) else { return nil }
    let suffix = Substring(name).dropFirst(prefix.count)
    guard let dot = suffix.firstIndex(of: "."), Int(suffix[..<dot]) != nil else { return nil }
    return (suffix[..<dot], suffix[suffix.index(after: dot)...])
  }

  private static let outer = [
    ("model.embed_tokens.", "tok_embeddings."), ("model.norm.", "norm."), ("lm_head.", "output."),
  ]
  private static let matrices = [("gate_proj.", "w1."), ("down_proj.", "w2."), ("up_proj.", "w3.")]
  private static let ofLayer: [(String, String)] =
    [
      ("input_layernorm.", "attention_norm."), ("post_attention_layernorm.", "ffn_norm."), ("mlp.gate.", "gate."),
      ("self_attn.q_proj.", "attention.wq."), ("self_attn.k_proj.", "attention.wk."),
      ("self_attn.v_proj.", "attention.wv."), ("self_attn.o_proj.", "attention.wo."),
      ("self_attn.q_a_proj.", "attention.wq_a."), ("self_attn.q_b_proj.", "attention.wq_b."),
      ("self_attn.q_a_layernorm.", "attention.q_a_norm."), ("self_attn.kv_a_layernorm.", "attention.kv_a_norm."),
      ("self_attn.kv_a_proj_with_mqa.", "attention.wkv_a_with_mqa."), ("self_attn.kv_b_proj.", "attention.wkv_b."),
    ]
    + matrices.flatMap { ours, theirs in
      [("mlp." + ours, "feed_forward." + theirs), ("mlp.shared_experts." + ours, "shared_experts." + theirs)]
    }
}

extension SafetensorsSet {
  /// Names the tensors of Mistral's form as `transformers` does, and removes towers.
  mutating func nameAsTransformers() {
    isMistralForm = true
    for name in names {
      if MistralForm.isOfTower(name) {
        remove(name)
      } else if let other = MistralForm.name(of: name) {
        rename(name, to: other)
      }
    }
  }
}
