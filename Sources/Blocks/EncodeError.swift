import Tensors

/// Reasons why rows cannot be encoded.
public enum EncodeError: Error, Equatable, Sendable {
  /// A weight is NaN or infinite. Row and column count from the first row of the call.
  case nonFiniteWeight(row: Int, column: Int)
  /// The type is useless without an importance matrix.
  case needsImportance(GGMLType)
  /// The number of columns is not a multiple of the type's block length.
  case raggedRow(columns: Int, type: GGMLType)
  /// The type can be decoded and copied, but not encoded.
  case notEncodable(GGMLType)
}
