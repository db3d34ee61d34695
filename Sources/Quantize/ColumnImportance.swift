import Blocks
import GGUF
import Tensors

/// The weights of errors in a tensor's columns: mean squared activations, [matrices, columns]. Created once per tensor
/// for all ranges of rows.
public struct ColumnImportance: Sendable {
  let columns: Int
  private let values: [Float]

  /// The importance of a tensor; nil if there is none.
  public init?(of tensor: TensorInfo, _ importance: Importance?) {
    guard let values = importance?(tensor) else { return nil }
    self.init(values, columns: tensor.shape.columns)
  }

  init(_ values: [Float], columns: Int) {
    precondition(columns > 0 && values.count % columns == 0, "\(values.count) weights in rows of \(columns)")
    self.values = values
    self.columns = columns
  }

  /// The weights of one matrix of a stack.
  public func weights(ofMatrix index: Int) -> ArraySlice<Float> { values[index * columns..<(index + 1) * columns] }
}

/// Encodes rows of one matrix, with its columns' importance if there is any.
package func encodeRows(
  _ rows: Span<Float>, columns: Int, matrix: Int, importance: ColumnImportance?, as type: GGMLType,
  into output: inout MutableRawSpan
) throws(EncodeError) {
  if let importance {
    let weights = importance.weights(ofMatrix: matrix)
    try encodeRows(rows, columns: columns, importance: weights.span, as: type, into: &output)
  } else {
    try encodeRows(rows, columns: columns, importance: nil, as: type, into: &output)
  }
}
