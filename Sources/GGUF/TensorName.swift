import Tensors

/// A tensor's name in GGUF, and the facts in it: `blk.7.attn_q.weight` is in layer 7 and of class `attn_q.weight`.
///
/// As in llama.cpp, the layer's number has decimal digits without a sign or leading zeros. A name with other text
/// between `blk.` and the next point belongs to no layer and is its own class.
public struct TensorName: Hashable, Sendable {
  /// The whole name.
  public let text: String
  /// The number in `blk.<n>.`; nil for a tensor outside of the layers.
  public let layer: Int?

  /// The name of a tensor.
  public init(_ text: String) {
    self.text = text
    layer = Self.layer(in: text)
  }

  private static func layer(in text: String) -> Int? {
    guard text.hasPrefix("blk.") else { return nil }
    let digits = text.utf8.dropFirst(4).prefix { (48...57).contains($0) }
    let tail = text.utf8[digits.endIndex...]
    guard tail.first == UInt8(ascii: "."), tail.count > 1, digits.first != 48 || digits.count == 1 else { return nil }
    return Int(Substring(digits))
  }

  /// The name without `blk.<n>.`, which the tensors of all layers share: `attn_q.weight`.
  public var layerClass: String {
    guard let layer else { return text }
    return String(text.dropFirst("blk.\(layer).".count))
  }

  /// ``layerClass`` without `.weight`, for tables: `attn_q`, `ffn_down_exps`, `attn_q.bias`.
  public var title: String {
    let name = layerClass
    return name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
  }

  /// The name of the same tensor in another layer; unchanged outside of the layers.
  public func inLayer(_ index: Int) -> String { layer == nil ? text : "blk.\(index).\(layerClass)" }

  /// The tensor's function in the model.
  public var role: TensorRole { TensorRole(name: text) }

  /// False for weights that must be exact or are small: norms, routers, convolutions, position tables. The list is that
  /// of llama-quantize.
  public var isQuantizable: Bool {
    guard text.hasSuffix("weight") else { return false }
    let name = Array(text.utf8)
    return !Self.exactParts.contains { name.holds($0) }
  }

  /// Whether the tensor gets the type of matrices when a checkpoint is converted, although a quantizer keeps its type.
  package var isConvertedOnly: Bool { text == "per_layer_model_proj.weight" }

  private static let exactParts: [[UInt8]] = [
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", ".position_embd", "sam.pos_embd",
    "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
  ].map { Array($0.utf8) }
}

extension TensorInfo {
  /// ``TensorName/role``
  public var role: TensorRole { TensorRole(name: name) }
  /// ``TensorName/layer``
  public var layer: Int? { TensorName(name).layer }
  /// ``TensorName/layerClass``
  public var layerClass: String { TensorName(name).layerClass }

  /// Whether a quantizer may change the tensor: a matrix of weights, not of integers, with a quantizable name.
  public var isQuantizable: Bool {
    shape.dimensions.count > 1 && shape.dimensions.dropFirst().contains { $0 > 1 } && !type.isInteger
      && TensorName(name).isQuantizable
  }

  /// The type of a tensor that a quantizer does not change: its own, but F32 instead of F64, which runtimes do not
  /// support.
  public var exactType: GGMLType { type == .f64 ? .f32 : type }
}
