import Blocks
import GGUF
import Imatrix
import Quantize
import Transformer

extension ImportanceMatrix {
  /// The tensors that a quantizer may change and this does not know.
  public func tensorsWithoutImportance(in model: any ModelSource) -> [TensorInfo] {
    model.tensors.filter { $0.isQuantizable && !hasImportance(for: $0) }
  }
}

extension TypeConstraints {
  /// Keeps types that need importance from the tensors that have none.
  ///
  /// - Parameter matrix: nil where it is still to be computed: a forward pass sees the inputs of its layers' matrices.
  public mutating func follow(_ matrix: ImportanceMatrix?, of model: any ModelSource) throws {
    if let matrix {
      withoutImportance = Set(matrix.tensorsWithoutImportance(in: model).map(\.name))
    } else {
      let seen = Set(try Decoder(model).layerMatrices.map(\.name))
      withoutImportance = Set(model.tensors.filter(\.isQuantizable).map(\.name)).subtracting(seen)
    }
  }

  /// Refuses pins that need importance where there is none at all.
  ///
  /// - Throws: `QuantizeError`
  public func checkNoImportance(_ model: any ModelSource) throws {
    for tensor in model.tensors where tensor.isQuantizable {
      if let pinned = pinned(tensor), pinned != tensor.type, pinned.needsImportance {
        throw QuantizeError.needsImportance(tensor: tensor.name, type: pinned)
      }
    }
  }
}
