import GGUF
import Quantize
import Tensors

/// A mix with a name: one format for all matrices, or a recipe of mlx_lm.
///
/// `4bit`, `3bit/32`, `mixed_3_6`, `mixed_4_6/32`; with `-plain`, scales are chosen as mx.quantize does.
public struct MLXMix: Sendable, Hashable {
  /// mlx_lm's recipes: bits of most tensors, and of the exceptions.
  static let recipes = [(low: 2, high: 6), (low: 3, high: 4), (low: 3, high: 6), (low: 4, high: 6)]

  public let name: String
  private let low: AffineFormat
  /// nil for one format.
  private let high: AffineFormat?

  /// The names without group and encoder.
  public static let names =
    AffineFormat.allBits.map { "\($0)bit" } + recipes.map { "mixed_\($0.low)_\($0.high)" }

  /// nil for an unknown name.
  public init?(name: String) {
    self.name = name
    if let format = AffineFormat(name: name), !name.lowercased().contains("-f16") {
      (low, high) = (format, nil)
      return
    }
    var text = name.lowercased()[...]
    let isPlain = text.hasSuffix("-plain")
    if isPlain { text = text.dropLast(6) }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let recipe = Self.recipes.first(where: { "mixed_\($0.low)_\($0.high)" == parts.first ?? "" }),
      parts.count <= 2, let group = parts.count == 2 ? Int(parts[1]) : 64,
      let low = AffineFormat(bits: recipe.low, group: group, scales: .bf16, encoder: isPlain ? .plain : .search),
      let high = AffineFormat(bits: recipe.high, group: group, scales: .bf16, encoder: isPlain ? .plain : .search)
    else { return nil }
    (self.low, self.high) = (low, high)
  }

  /// Types of a model's tensors. Routers stay float; mlx_lm's recipes round them too.
  public func types(for source: MLXSource) -> [GGMLType] {
    let layers = (source.tensors.compactMap(\.layer).max() ?? -1) + 1
    return source.tensors.map { tensor in
      guard tensor.isQuantizable else { return tensor.exactType }
      if tensor.type == .mxfp4 { return .mxfp4 }
      var format = isException(tensor, source.names, layers: layers) ? high ?? low : low
      // Groups must not cross heads that change places.
      if let order = MLXColumnOrder(tensor, of: source), !order.admits(format.type) {
        guard
          let smaller = AffineFormat.allGroups.reversed().first(where: { order.size % $0 == 0 && $0 < format.group }),
          let other = AffineFormat(bits: format.bits, group: smaller, scales: format.scales, encoder: format.encoder)
        else { return tensor.type }
        format = other
      }
      return format.with(source.scales).type.fitting(columns: tensor.shape.columns)
    }
  }

  /// The names of mlx_lm's exceptions: what contains `v_proj`, `v_a_proj`, `v_b_proj` or `down_proj`, in an eighth of the
  /// layers at both ends and in every third one between.
  private func isException(_ tensor: TensorInfo, _ names: MLXNames, layers: Int) -> Bool {
    guard let layer = tensor.layer else { return tensor.role == .output }
    // Also `qkv_proj`, `kv_b_proj` and `kv_a_proj_with_mqa` contain one of them.
    guard let module = names.name(of: tensor.name)?.module,
      ["v_proj", "v_a_proj", "v_b_proj", "down_proj"].contains(where: { module.contains($0) })
    else { return false }
    let offset = layer - layers / 8
    return offset < 0 || layer >= 7 * layers / 8 || offset % 3 == 2
  }

  /// The mixes that a fitted one is compared with, as mlx_lm writes them.
  static func baselines(of source: MLXSource) -> [(name: String, types: [GGMLType])] {
    names.compactMap { name in
      MLXMix(name: name + "-plain").map { (name: name, types: $0.types(for: source)) }
    }
  }
}
