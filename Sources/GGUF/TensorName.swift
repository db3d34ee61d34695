import Tensors

/// The facts that follow from a tensor's name in GGUF: `blk.7.attn_q.weight` is in layer 7, of class `attn_q.weight`.
///
/// A layer's number is written as llama.cpp writes it, in decimal digits without a sign or leading zeros; a name with
/// anything else between `blk.` and the next point is outside of layers, and its own class.
public struct TensorName: Hashable, Sendable {
  public let text: String
  /// The number in `blk.<n>.`; nil outside of layers.
  public let layer: Int?

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

  /// The name without its layer, which tensors of all layers share: `attn_q.weight`.
  public var layerClass: String {
    guard let layer else { return text }
    return String(text.dropFirst("blk.\(layer).".count))
  }

  /// ``layerClass`` without `.weight`, as tables show it: `attn_q`, `ffn_down_exps`, `attn_q.bias`.
  public var title: String {
    let name = layerClass
    return name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
  }

  /// The same tensor of another layer; the name as it is where it is outside of layers.
  public func inLayer(_ index: Int) -> String { layer == nil ? text : "blk.\(index).\(layerClass)" }

  public var role: TensorRole { TensorRole(name: text) }

  /// False for the weights that must be exact or are small: norms, routers, convolutions, position tables. The same ones
  /// as llama-quantize.
  public var isQuantizable: Bool {
    guard text.hasSuffix("weight") else { return false }
    let name = Array(text.utf8)
    return !Self.exactParts.contains { name.holds($0) }
  }

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
  public var role: TensorRole { TensorRole(name: name) }
  /// ``TensorName/layer``
  public var layer: Int? { TensorName(name).layer }
  /// ``TensorName/layerClass``
  public var layerClass: String { TensorName(name).layerClass }

  /// True for the matrices that a quantizer may change; integers are not weights.
  public var isQuantizable: Bool {
    shape.dimensions.count > 1 && shape.dimensions.dropFirst().contains { $0 > 1 } && !type.isInteger
      && TensorName(name).isQuantizable
  }

  /// The type of a tensor that is not quantized in a file whose types are chosen: the present one, but F32 for double
  /// precision, which no program that runs a GGUF computes with.
  public var exactType: GGMLType { type == .f64 ? .f32 : type }
}
