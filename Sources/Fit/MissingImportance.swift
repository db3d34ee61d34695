import Blocks
import GGUF
import Imatrix
import Quantize
import Transformer

extension ImportanceMatrix {
  /// Quantizable tensors of a model that have no entry.
  public func tensorsWithoutImportance(in model: any ModelSource) -> [TensorInfo] {
    model.tensors.filter { $0.isQuantizable && !hasImportance(for: $0) }
  }
}

extension TypeConstraints {
  /// Excludes types that need importance for the tensors that have none.
  ///
  /// - Parameter matrix: nil if it is still to be measured. A forward pass measures the matrices of its layers.
  mutating func follow(_ matrix: ImportanceMatrix?, of model: any ModelSource) throws {
    if let matrix {
      withoutImportance = Set(matrix.tensorsWithoutImportance(in: model).map(\.name))
    } else {
      let seen = Set(try Decoder(model).layerMatrices.map(\.name))
      withoutImportance = Set(model.tensors.filter(\.isQuantizable).map(\.name)).subtracting(seen)
    }
  }

  /// Refuses pins that need importance, for a fit without any.
  ///
  /// - Throws: `QuantizeError`
  func checkNoImportance(_ model: any ModelSource) throws {
    for tensor in model.tensors where tensor.isQuantizable {
      if let pinned = pinned(tensor), pinned != tensor.type, pinned.needsImportance {
        throw QuantizeError.needsImportance(tensor: tensor.name, type: pinned)
      }
    }
  }
}
