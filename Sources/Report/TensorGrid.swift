import GGUF
import Tensors

/// Tensors by class and layer.
struct TensorGrid {
  /// Matrices with the same name except for the layer, in the order of first appearance.
  let classes: [String]
  let layers: Int
  /// Tensors by class and layer; nil if a layer has none of a class.
  let tensors: [[TensorInfo?]]
  /// Matrices outside of layers: embedding, output.
  let others: [TensorInfo]

  /// - Parameter all: all tensors. Norms and biases are omitted: they are F32 everywhere.
  init(_ all: [TensorInfo]) {
    var classes: [String] = []
    var layers = 0
    var cells: [(className: String, layer: Int, tensor: TensorInfo)] = []
    var others: [TensorInfo] = []
    for tensor in all where tensor.shape.rows > 1 {
      guard let (layer, name) = Self.cell(of: tensor.name) else {
        others.append(tensor)
        continue
      }
      if !classes.contains(name) { classes.append(name) }
      layers = max(layers, layer + 1)
      cells.append((name, layer, tensor))
    }
    var grid = [[TensorInfo?]](repeating: [TensorInfo?](repeating: nil, count: layers), count: classes.count)
    for (name, layer, tensor) in cells { grid[classes.firstIndex(of: name)!][layer] = tensor }
    self.classes = classes
    self.layers = layers
    self.tensors = grid
    self.others = others
  }

  /// The layer and class of a tensor's name: 7 and `attn_q` for `blk.7.attn_q.weight`.
  static func cell(of name: String) -> (layer: Int, className: String)? {
    let name = TensorName(name)
    // The bound limits the page's columns for a hostile file.
    guard let layer = name.layer, layer < 4096 else { return nil }
    return (layer, name.title)
  }

  /// The part of a model that a tensor belongs to, for readers who do not know tensor names.
  static func part(of name: String) -> String {
    let name = cell(of: name)?.className ?? name
    if name.hasPrefix("token_embd") { return "token embedding" }
    if name == "output.weight" { return "output head" }
    if name.contains("_exps") { return "experts" }
    if name.contains("_shexp") { return "shared experts" }
    if name.contains("norm") { return "norms" }
    if name.hasPrefix("attn") || name.hasPrefix("ssm") { return "attention" }
    if name.hasPrefix("ffn") { return name.contains("gate_inp") ? "routers" : "feed-forward" }
    return "others"
  }
}

extension TensorInfo {
  var bytes: Int { shape.bytes(as: type) ?? 0 }
  var bitsPerWeight: Double { type.bitsPerWeight }
}

/// The nine shades of the heat map of bits, finer in the range of common files.
func shade(bitsPerWeight bits: Double) -> Int {
  [1.8, 2.2, 2.7, 3.2, 3.8, 4.6, 5.6, 7].firstIndex { bits < $0 } ?? 8
}
