/// The extent of a tensor in ggml's order: the first dimension is the contiguous one.
///
/// A matrix that maps 4096 inputs to 1024 outputs is `[4096, 1024]`: 1024 rows of 4096 columns. A stack of 160 experts
/// is `[columns, rows, 160]`; its rows are counted through, so row `r` of expert `e` is row `e * rows + r`.
public struct Shape: Hashable, Sendable {
  public let dimensions: [Int]
  /// The number of elements; known not to overflow.
  public let count: Int

  /// Elements that the tensors of a model have at most, a thousand times what the largest have: where that is checked,
  /// no sum of elements, bytes or bits over a model overflows.
  public static let mostOfModel = 1 << 52

  /// Fails where a dimension is negative, there are none or more than four, or a product of dimensions overflows.
  public init?(_ dimensions: [Int]) {
    guard (1...4).contains(dimensions.count) else { return nil }
    // Without the zeros: rows and matrices are products too, and must not overflow where there are no columns.
    var product = 1
    for dimension in dimensions {
      guard dimension >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: max(1, dimension))
      guard !overflow else { return nil }
      product = next
    }
    self.dimensions = dimensions
    count = dimensions.contains(0) ? 0 : product
  }

  /// The length of a row.
  public var columns: Int { dimensions[0] }
  /// The number of rows over all further dimensions.
  public var rows: Int { dimensions.dropFirst().reduce(1, *) }
  /// Rows of one matrix of a stack (the second dimension).
  public var rowsPerMatrix: Int { dimensions.count > 1 ? dimensions[1] : 1 }
  /// Matrices in a stack: experts, or heads of a per-head tensor; 1 for a plain matrix.
  public var matrices: Int { dimensions.dropFirst(2).reduce(1, *) }

  /// Bytes of the whole tensor in `type`, or nil where a row is no whole number of blocks.
  public func bytes(as type: GGMLType) -> Int? {
    guard let row = type.rowBytes(columns: columns) else { return nil }
    let (bytes, overflow) = row.multipliedReportingOverflow(by: rows)
    return overflow ? nil : bytes
  }
}

extension Shape: CustomStringConvertible {
  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
