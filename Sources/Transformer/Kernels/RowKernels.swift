import CVectors
import Tensors

/// Rows that one task of a row kernel takes.
private let grain = 64

/// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row (RMSNorm). x and y may be the same.
///
/// - Parameters:
///   - weight: [columns]
///   - xStride, yStride: distances between rows; default: `columns`.
func normalize(
  _ x: Floats, rows: Int, columns: Int, weight: Floats, epsilon: Float, into y: Floats, xStride: Int? = nil,
  yStride: Int? = nil
) throws {
  let xStride = xStride ?? columns
  let yStride = yStride ?? columns
  try parallelRanges(rows, grain: grain) { _, range in
    for row in range {
      normalizeRow(x.base + row * xStride, columns, weight.base, epsilon, y.base + row * yStride)
    }
  }
}

/// Eight running sums of at most a few thousand squares each: within 1e-6 of the exact mean.
func normalizeRow(
  _ x: UnsafePointer<Float>, _ columns: Int, _ weight: UnsafePointer<Float>, _ epsilon: Float,
  _ y: UnsafeMutablePointer<Float>
) {
  var squares = SIMD8<Float>.zero
  var tail: Float = 0
  let whole = columns & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let v = cv_load(x + i)
    squares = cv_fma(v, v, squares)
  }
  for i in whole..<columns { tail += x[i] * x[i] }
  let scale = 1 / ((cv_sum(squares) + tail) / Float(columns) + epsilon).squareRoot()
  for i in stride(from: 0, to: whole, by: 8) {
    cv_store(y + i, cv_load(x + i) * scale * cv_load(weight + i))
  }
  for i in whole..<columns { y[i] = x[i] * scale * weight[i] }
}

/// gate = silu(gate) * up with silu(x) = x / (1 + e^-x). Rows of `gate` lie `gateStride` elements apart.
func gatedUnit(_ gate: Floats, gateStride: Int, up: Floats, rows: Int, columns: Int) throws {
  try parallelRanges(rows, grain: grain) { _, range in
    for row in range {
      let g = gate.base + row * gateStride
      let u = up.base + row * columns
      let whole = columns & ~7
      for i in stride(from: 0, to: whole, by: 8) {
        let x = cv_load(g + i)
        cv_store(g + i, x / (1 + cv_exp(-x)) * cv_load(u + i))
      }
      for i in whole..<columns {
        let x = g[i]
        g[i] = x / (1 + exponential(-x)) * u[i]
      }
    }
  }
}

/// Adds a bias [columns] to every row.
func add(_ bias: Floats, to y: Floats, rows: Int, columns: Int, stride: Int) throws {
  try parallelRanges(rows, grain: grain) { _, range in
    for row in range {
      let out = y.base + row * stride
      for i in 0..<columns { out[i] += bias.base[i] }
    }
  }
}

/// Copies rows between matrices of different widths.
func copyRows(from x: Floats, stride xStride: Int, to y: Floats, stride yStride: Int, rows: Int, columns: Int) {
  for row in 0..<rows { (y.base + row * yStride).update(from: x.base + row * xStride, count: columns) }
}

/// e^x of one number, by the same polynomial as everywhere.
func exponential(_ x: Float) -> Float { cv_exp(cv_splat(x))[0] }
