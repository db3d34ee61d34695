import Tensors

/// Why rows can't be encoded.
public enum EncodeError: Error, Equatable, Sendable {
  /// A weight is NaN or infinite: row and column within the rows handed over.
  case nonFiniteWeight(row: Int, column: Int)
  /// The type is of no use without an importance matrix.
  case needsImportance(GGMLType)
  /// Columns are no multiple of the type's block length.
  case raggedRow(columns: Int, type: GGMLType)
  /// The type can be read and copied, not made.
  case notEncodable(GGMLType)
}
