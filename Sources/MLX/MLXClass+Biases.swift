import Files
import GGUF
import Tensors

/// Biases of matrices.
extension MLXClass {
  /// Matrices that have biases together, and the key that says so; nil for those that always have them.
  private typealias Group = (key: String?, titles: [String])

  private static let attention = ["attn_q", "attn_k", "attn_v", "attn_output"]
  private static let inputs = ["attn_q", "attn_k", "attn_v"]
  private static let feedForward = ["ffn_gate", "ffn_up", "ffn_down"]
  private static let llama: [Group] = [("attention_bias", attention), ("mlp_bias", feedForward)]

  private var groups: [Group] {
    switch name {
    case "llama", "smollm3", "granite", "olmo2": Self.llama
    case "olmo3": [("attention_bias", Self.attention)]
    case "ernie4_5": [("use_bias", Self.attention + Self.feedForward)]
    case "seed_oss":
      [("attention_bias", Self.inputs), ("attention_out_bias", ["attn_output"]), ("mlp_bias", Self.feedForward)]
    case "glm4_moe": [("attention_bias", Self.inputs)]
    case "glm_moe_dsa": [("attention_bias", [])]
    case "qwen2": [(nil, Self.inputs)]
    case "gpt_oss":
      [(nil, Self.attention + ["ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"])]
    default: []
    }
  }

  /// The keys that declare biases, with their values.
  ///
  /// - Throws: `FormatError` for a bias for which the class has no room, or one that it needs.
  func biases(_ model: any ModelSource, _ folder: MLXFolder) throws -> [(key: String, value: String)] {
    let matrices = Set(Self.attention + Self.feedForward + groups.flatMap(\.titles))
    var found: [String: Set<Int>] = [:]
    for tensor in model.tensors where tensor.name.hasSuffix(".bias") {
      let name = TensorName(tensor.name)
      let title = String(name.title.dropLast(".bias".count))
      if matrices.contains(title), let layer = name.layer { found[title, default: []].insert(layer) }
    }
    func failure(_ title: String, layer: Int?, _ reason: String) -> FormatError {
      FormatError(path: folder.directory, subject: "tensor blk.\(layer ?? 0).\(title).bias", reason)
    }
    let biasable = Set(groups.flatMap(\.titles))
    if let other = found.keys.sorted().first(where: { !biasable.contains($0) }) {
      throw failure(
        other, layer: found[other]?.min(), "is stored; mlx_lm's class of \(folder.modelType) has no bias there")
    }
    return try groups.compactMap { group in
      let all = group.titles.map { found[$0] ?? [] }
      let isBiased = group.key == nil || all.contains { !$0.isEmpty }
      if isBiased, let layers = all.max(by: { $0.count < $1.count }) {
        if let index = all.firstIndex(where: { $0 != layers || $0.isEmpty }) {
          throw failure(
            group.titles[index], layer: layers.subtracting(all[index]).min(),
            "is missing; in mlx_lm's class of \(folder.modelType), "
              + "\(group.titles.joined(separator: ", ")) have biases together")
        }
      }
      guard let key = group.key else { return nil }
      let text = folder.language[key]?.bool
      return text == isBiased || text == nil && !isBiased && !needsFlags ? nil : (key, "\(isBiased)")
    }
  }

  /// Whether the class does not start without its flags.
  private var needsFlags: Bool { ["granite", "ernie4_5", "glm4_moe", "glm_moe_dsa"].contains(name) }
}
