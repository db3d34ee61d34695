import Blocks
import GGUF
import Quantize
import Tensors

/// The types that each tensor of a model may have in a file: those that it may become under the constraints, and its own.
public struct TypeMenus: Sendable {
  public let tensors: [TensorInfo]
  /// In the tensors' order; none is empty.
  public let types: [[GGMLType]]

  /// - Parameters:
  ///   - types: the types to choose from; default: every block format that can be written.
  ///   - hasImportance: whether there is importance at all; the constraints say which tensors it leaves out.
  public init(
    of source: any ModelSource, types: [GGMLType] = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized },
    hasImportance: Bool, constraints: TypeConstraints = TypeConstraints()
  ) {
    tensors = source.tensors
    self.types = source.tensors.map { tensor in
      guard tensor.isQuantizable else { return [tensor.exactType] }
      if let pinned = constraints.pinned(tensor) {
        return [tensor.shape.bytes(as: pinned) == nil ? tensor.type : pinned]
      }
      let most = tensor.shape.bytes(as: tensor.type) ?? Int.max
      let smaller = constraints.menu(for: tensor, from: types).filter { type in
        type != tensor.type && (hasImportance || !type.needsImportance)
          && tensor.shape.bytes(as: type).map { $0 < most } ?? false
      }
      return constraints.allows(tensor.type) || smaller.isEmpty ? smaller + [tensor.type] : smaller
    }
  }
}
