import Blocks
import GGUF
import Quantize
import Tensors

/// The types that each tensor of a model may have in a file: its source type, and others that the constraints allow.
package struct TypeMenus: Sendable {
  package let tensors: [TensorInfo]
  /// Types by tensor; no menu is empty.
  package let types: [[GGMLType]]

  /// The block formats that can be encoded, without those for models that were trained with their levels.
  package static let allTypes = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && !$0.isForTrainedLevels }

  /// - Parameters:
  ///   - types: the types to choose from; default: all that the form of the output has.
  ///   - hasImportance: whether there is importance at all. The constraints list the tensors without it.
  package init(
    of source: any ModelSource, types: [GGMLType]? = nil,
    hasImportance: Bool, constraints: TypeConstraints = TypeConstraints()
  ) {
    tensors = source.tensors
    let types = types ?? source.outputForm?.menu ?? Self.allTypes
    self.types = source.tensors.map { tensor in
      guard tensor.isQuantizable else { return [tensor.exactType] }
      if let pinned = constraints.pinned(tensor) {
        return [tensor.shape.bytes(as: pinned) == nil ? tensor.type : pinned]
      }
      let limit = tensor.shape.bytes(as: tensor.type) ?? Int.max
      // An explicit list of allowed types may have those for trained levels.
      let types =
        types
        + GGMLType.allCases.filter {
          $0.isForTrainedLevels && !types.contains($0) && constraints.only?.contains($0) == true
        }
      let smaller = constraints.menu(for: tensor, from: types).filter { type in
        type != tensor.type && (hasImportance || !type.needsImportance)
          && tensor.shape.bytes(as: type).map { $0 < limit } ?? false
      }
      return constraints.allows(tensor.type) || smaller.isEmpty ? smaller + [tensor.type] : smaller
    }
  }
}
