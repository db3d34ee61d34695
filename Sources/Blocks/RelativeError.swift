import Tensors

/// Σw(x - y)² / Σwx² over rows that share their column weights (all 1 without importance): the encoder's own measure.
public func relativeError(
  of decoded: Span<Float>, to rows: Span<Float>, columns: Int, importance: Span<Float>?
) -> Double {
  precondition(decoded.count == rows.count && columns > 0 && rows.count % columns == 0)
  var error = 0.0
  var energy = 0.0
  for start in stride(from: 0, to: rows.count, by: columns) {
    for column in 0..<columns {
      let weight = if let importance { Double(importance[column]) } else { 1.0 }
      let x = Double(rows[start + column])
      let difference = Double(decoded[start + column]) - x
      error += weight * difference * difference
      energy += weight * x * x
    }
  }
  return energy > 0 ? error / energy : 0
}
