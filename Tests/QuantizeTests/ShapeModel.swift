import GGUF
import Quantize
import Tensors
import TestSupport

extension TypedShapes {
  /// The same model with other types.
  func with(_ types: [GGMLType]) -> TypedShapes { TypedShapes(self, types: types) }

  /// The bytes of all tensors in a file, including padding.
  var paddedBytes: Int { tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type)! + 31) / 32 * 32 } }
}

extension StockFixture {
  var model: TypedShapes { TypedShapes(name: "shapes", metadata: metadata, tensors: infos) }
}
