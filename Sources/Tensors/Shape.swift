/// The dimensions of a tensor in ggml's order: the first is contiguous in memory.
///
/// A matrix that maps 4096 inputs to 1024 outputs is `[4096, 1024]`: 1024 rows of 4096 columns. A stack of 160 experts
/// is `[columns, rows, 160]`; row `r` of expert `e` is row `e * rows + r`.
public struct Shape: Hashable, Sendable {
  /// One to four dimensions, the contiguous one first.
  public let dimensions: [Int]
  /// The number of elements.
  public let count: Int

  /// The maximum number of elements of a model, a thousand times that of the largest models. Below it no sum of
  /// elements, bytes or bits overflows.
  public static let modelMaximum = 1 << 52

  /// Nil where a dimension is negative, there are none or more than four, or a product of dimensions overflows.
  public init?(_ dimensions: [Int]) {
    guard (1...4).contains(dimensions.count) else { return nil }
    // Zeros count as 1: rows and matrices are products of other dimensions and must not overflow either.
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

  /// Elements in a row: the first dimension.
  public var columns: Int { dimensions[0] }
  /// The number of rows: the product of all other dimensions.
  public var rows: Int { dimensions.dropFirst().reduce(1, *) }
  /// Rows of one matrix of a stack: the second dimension.
  public var rowsPerMatrix: Int { dimensions.count > 1 ? dimensions[1] : 1 }
  /// Matrices in a stack: experts, or heads of a per-head tensor; 1 for a plain matrix.
  public var matrices: Int { dimensions.dropFirst(2).reduce(1, *) }

  /// Bytes of the whole tensor in `type`; nil where a row is not whole blocks or the number overflows.
  public func bytes(as type: GGMLType) -> Int? {
    guard let row = type.rowBytes(columns: columns) else { return nil }
    let (bytes, overflow) = row.multipliedReportingOverflow(by: rows)
    return overflow ? nil : bytes
  }
}

extension Shape: CustomStringConvertible {
  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
