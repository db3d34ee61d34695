import GGUF
import Tensors

/// Bytes of tensors in a file, padding included.
public enum Sizes {
  public static func bytes(_ tensor: TensorInfo, as type: GGMLType, alignment: Int) -> Int? {
    tensor.shape.bytes(as: type).map { ($0 + alignment - 1) / alignment * alignment }
  }

  /// The fewest bytes that `menu` allows a tensor; what can't be quantized keeps its own.
  public static func smallest(_ tensor: TensorInfo, menu: [GGMLType], alignment: Int) -> Int {
    let own = bytes(tensor, as: tensor.type, alignment: alignment) ?? 0
    guard tensor.isQuantizable else { return own }
    return menu.compactMap { bytes(tensor, as: $0, alignment: alignment) }.reduce(own, min)
  }
}
