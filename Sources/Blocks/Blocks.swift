import Tensors

/// Why rows can't be encoded.
public enum EncodeError: Error, Equatable, Sendable {
  /// A weight is NaN or infinite: row and column within the rows handed over.
  case nonFiniteWeight(row: Int, column: Int)
  /// The type needs an importance matrix to be of any use.
  case needsImportance(GGMLType)
  /// Columns are no multiple of the type's block length.
  case raggedRow(columns: Int, type: GGMLType)
  /// Integer types and F64 are carried, never made.
  case notEncodable(GGMLType)
}
