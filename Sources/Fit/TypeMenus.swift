import Blocks
import GGUF
import Quantize
import Tensors

/// The types that each tensor of a model may have in a file: those that it may become under the constraints, and its own.
public struct TypeMenus: Sendable {
  /// Who knows a tensor's importance: types that need it are for those tensors only.
  public enum Coverage: Sendable, Equatable {
    case nothing
    /// A matrix that is still to be computed: it will have all but the embedding and the output.
    case computed
    /// Tensors by name.
    case tensors(Set<String>)

    func covers(_ tensor: TensorInfo) -> Bool {
      switch self {
      case .nothing: false
      case .computed: tensor.role != .tokenEmbedding && tensor.role != .output
      case .tensors(let names): names.contains(tensor.name)
      }
    }
  }

  public let tensors: [TensorInfo]
  /// In the tensors' order; none is empty.
  public let types: [[GGMLType]]

  /// - Parameter types: the types to choose from; default: every block format that can be written.
  public init(
    of source: any ModelSource, types: [GGMLType] = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized },
    coverage: Coverage, constraints: TypeConstraints = TypeConstraints()
  ) {
    tensors = source.tensors
    self.types = source.tensors.map { tensor in
      guard tensor.isQuantizable else { return [tensor.type] }
      if let pinned = constraints.pinned(tensor) {
        return [tensor.shape.bytes(as: pinned) == nil ? tensor.type : pinned]
      }
      let most = tensor.shape.bytes(as: tensor.type) ?? Int.max
      let smaller = constraints.menu(for: tensor, from: types).filter { type in
        type != tensor.type && (!type.needsImportance || coverage.covers(tensor))
          && tensor.shape.bytes(as: type).map { $0 < most } ?? false
      }
      return constraints.allows(tensor.type) || smaller.isEmpty ? smaller + [tensor.type] : smaller
    }
  }
}
