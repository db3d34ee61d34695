import Blocks
import GGUF
import Tensors

/// What errors in a tensor's columns count: mean squared activations, [matrices, columns]. Made once a tensor, however many
/// ranges of its rows are encoded.
public struct ColumnImportance: Sendable {
  public let columns: Int
  private let values: [Float]

  /// nil where nothing is known of the tensor.
  public init?(of tensor: TensorInfo, _ importance: Importance?) {
    guard let values = importance?(tensor) else { return nil }
    self.init(values, columns: tensor.shape.columns)
  }

  public init(_ values: [Float], columns: Int) {
    precondition(columns > 0 && values.count % columns == 0, "\(values.count) weights in rows of \(columns)")
    self.values = values
    self.columns = columns
  }

  /// Of one matrix of a stack.
  public func weights(ofMatrix index: Int) -> ArraySlice<Float> { values[index * columns..<(index + 1) * columns] }
}

/// Encodes rows of one matrix, with its columns' importance where there is any.
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
