import GGUF
import Tensors

/// Dynamic mixes by name: recipes derived from a model's shapes. Experts, which have nearly all weights of a MoE and of
/// which a token uses few, get the fewest bits. Attention, shared experts and dense layers get Q4_K to Q6_K.
///
/// For DeepSeek-R1, ``iq1_s`` equals the published 1.58-bit mix in every tensor. The others follow its pattern with
/// larger types. In a dense model, the feed-forward matrices of the middle layers get the fewest bits; attention, first
/// and last layers get more.
public enum Preset: String, CaseIterable, Sendable {
  /// IQ1_S, 1.56 bits per weight.
  case iq1_s = "ud-iq1_s"
  /// IQ1_M, 1.75 bits per weight.
  case iq1_m = "ud-iq1_m"
  /// IQ2_XXS, 2.06 bits per weight.
  case iq2_xxs = "ud-iq2_xxs"
  /// Q2_K, 2.63 bits per weight.
  case q2_K = "ud-q2_k"

  /// The preset with this name, in any case.
  public init?(name: String) { self.init(rawValue: name.lowercased()) }

  /// The type of most weights.
  public var base: GGMLType {
    switch self {
    case .iq1_s: .iq1_s
    case .iq1_m: .iq1_m
    case .iq2_xxs: .iq2_xxs
    case .q2_K: .q2_K
    }
  }

  /// The type of the first down matrices (of all down matrices, except for IQ1_S): their errors affect all later
  /// layers.
  private var raised: GGMLType {
    switch self {
    case .iq1_s, .iq1_m: .iq2_xxs
    case .iq2_xxs: .iq2_s
    case .q2_K: .q3_K
    }
  }

  /// Whether the base type needs an importance matrix.
  public var needsImportance: Bool { base.needsImportance }

  /// The recipe for a model, derived from its shapes.
  public func recipe(for model: any ModelSource) -> Recipe {
    let expertLayers = model.tensors.filter { $0.name.hasSuffix("ffn_down_exps.weight") }.compactMap(\.layer).sorted()
    let rules = expertLayers.isEmpty ? dense(layers: layerCount(model)) : mixture(expertLayers)
    // Rules without a tensor would be an error when the recipe is read again.
    let unused = Set(rules.unmatched(in: model))
    return Recipe(name: rawValue, base: .type(base), rules: rules.filter { !unused.contains($0) })
  }

  private func layerCount(_ model: any ModelSource) -> Int {
    (model.tensors.compactMap(\.layer).max() ?? -1) + 1
  }

  private func mixture(_ layers: [Int]) -> [TypeRule] {
    // Six of the 58 layers of R1.
    let first = self == .iq1_s ? max(1, (layers.count + 5) / 10) : layers.count
    let chosen = LayerPattern.regex(for: Set(layers.prefix(first)))
    return [
      rule(#"^output\.weight"#, .q6_K), rule(#"^token_embd\.weight"#, .q4_K),
      rule(first == layers.count ? #"\.ffn_down_exps\."# : #"^blk\.\#(chosen)\.ffn_down_exps\."#, raised),
      rule(#"_exps\."#, base),
      rule(#"\.ffn_down_shexp\."#, .q6_K), rule(#"\.ffn_(gate|up)_shexp\."#, .q5_K),
      rule(#"\.ffn_down\."#, .q6_K), rule(#"\.ffn_(gate|up)\."#, .q4_K),
      rule(#"\.attn_(kv_a_mqa|kv_b|k_b|v_b|k|v)\."#, .q6_K),
      rule(#"\.attn_"#, .q4_K),
    ]
  }

  private func dense(layers: Int) -> [TypeRule] {
    let edge = max(1, layers / 16)
    let outer = Set(0..<min(edge, layers)).union(max(0, layers - edge)..<layers)
    let edges = LayerPattern.regex(for: outer)
    let attention: GGMLType = self == .q2_K ? .q3_K : .iq2_s
    return [
      rule(#"^output\.weight"#, .q5_K), rule(#"^token_embd\.weight"#, self == .q2_K ? .q4_K : .q2_K),
      rule(#"\.attn_(v|qkv)\."#, .q4_K),
      rule(#"^blk\.\#(edges)\.attn_"#, .q4_K), rule(#"^blk\.\#(edges)\.ffn_down\."#, .q3_K),
      rule(#"^blk\.\#(edges)\.ffn_"#, attention),
      rule(#"\.attn_output\."#, self == .q2_K ? .q3_K : .iq3_xxs), rule(#"\.attn_"#, attention),
      rule(#"\.ffn_down\."#, raised),
    ]
  }

  private func rule(_ pattern: String, _ type: GGMLType) -> TypeRule {
    guard let pattern = try? TensorPattern(pattern) else { preconditionFailure("pattern \(pattern)") }
    return TypeRule(pattern: pattern, type: type)
  }
}
