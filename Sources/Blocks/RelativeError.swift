import Tensors

/// Σw(x - y)² / Σwx² with x the original and y what became of it, summed up part by part in double precision.
///
///     var error = RelativeError()
///     error.add(decoded.span, to: rows.span, columns: columns)
///     print(error.value)
public struct RelativeError: Sendable, Equatable {
  /// Σw(x - y)².
  public private(set) var error = 0.0
  /// Σwx².
  public private(set) var energy = 0.0

  /// The error of nothing: 0.
  public init() {}

  /// Adds rows of `columns` elements.
  ///
  /// - Parameter weights: one for each column; 1 where nil.
  public mutating func add(
    _ decoded: Span<Float>, to rows: Span<Float>, columns: Int, weights: [Double]? = nil
  ) {
    precondition(decoded.count == rows.count && columns > 0 && rows.count % columns == 0, "\(rows.count) by \(columns)")
    precondition(weights == nil || weights!.count >= columns, "\(columns) columns")
    for start in stride(from: 0, to: rows.count, by: columns) {
      for column in 0..<columns {
        let x = Double(rows[start + column])
        let difference = Double(decoded[start + column]) - x
        let weight = weights?[column] ?? 1
        error += weight * difference * difference
        energy += weight * x * x
      }
    }
  }

  public static func += (sum: inout RelativeError, part: RelativeError) {
    sum.error += part.error
    sum.energy += part.energy
  }

  /// 0 where the original is all zero.
  public var value: Double { energy > 0 ? error / energy : 0 }
}
