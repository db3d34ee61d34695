import CVectors
import Tensors

/// Rows of a task.
private let grain = 64

/// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row (RMSNorm). x and y may be the same.
///
/// - Parameters:
///   - weight: [columns]
///   - xStride, yStride: elements from one row to the next; default: `columns`.
func normalize(
  _ x: FloatView, rows: Int, columns: Int, weight: FloatView, epsilon: Float, into y: FloatView, xStride: Int? = nil,
  yStride: Int? = nil
) throws {
  let xStride = xStride ?? columns
  let yStride = yStride ?? columns
  try withPointers(x, weight, y) { x, weight, y in
    check(x, rows, columns, xStride)
    check(y, rows, columns, yStride)
    try parallelRanges(rows, grain: grain) { _, range in
      for row in range {
        normalizeRow(x.base + row * xStride, columns, weight.base, epsilon, y.base + row * yStride)
      }
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

/// The function of a gate and of up: x times a sigmoid, times up.
enum GateFunction: Sendable {
  /// x / (1 + e^-x)
  case silu
  /// x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, which is x / (1 + e^-z) with z = sqrt(8/pi) (x + 0.044715 x^3).
  case geluTanh
  /// x / (1 + e^-1.702x), times up + 1, with x clipped to at most 7 and up to -7...7.
  case clippedSilu

  /// The argument of the sigmoid.
  fileprivate func argument(_ x: SIMD8<Float>) -> SIMD8<Float> {
    switch self {
    case .silu: x
    case .geluTanh: x * (1.595_769_1 + 0.071_354_814 * x * x)
    case .clippedSilu: x * 1.702
    }
  }

  fileprivate func apply(_ x: SIMD8<Float>, _ up: SIMD8<Float>) -> SIMD8<Float> {
    guard self == .clippedSilu else { return x / (1 + cv_exp(-argument(x))) * up }
    let x = cv_min(x, cv_splat(7))
    return x / (1 + cv_exp(-argument(x))) * (cv_clamp(up, cv_splat(-7), cv_splat(7)) + 1)
  }
}

/// gate = function(gate) * up.
///
/// - Parameters:
///   - gateStride: elements from one row of `gate` to the next.
///   - upStride: elements from one row of `up` to the next; nil for `columns`.
func gatedUnit(
  _ gate: FloatView, gateStride: Int, up: FloatView, upStride: Int? = nil, rows: Int, columns: Int,
  function: GateFunction = .silu
) throws {
  let upStride = upStride ?? columns
  try withPointers(gate, up) { gate, up in
    check(gate, rows, columns, gateStride)
    check(up, rows, columns, upStride)
    try parallelRanges(rows, grain: grain) { _, range in
      for row in range {
        let g = gate.base + row * gateStride
        let u = up.base + row * upStride
        let whole = columns & ~7
        for i in stride(from: 0, to: whole, by: 8) {
          cv_store(g + i, function.apply(cv_load(g + i), cv_load(u + i)))
        }
        for i in whole..<columns { g[i] = function.apply(cv_splat(g[i]), cv_splat(u[i]))[0] }
      }
    }
  }
}

/// y = factor x, element by element, in place.
func multiply(_ x: FloatView, by factor: Float, count: Int) throws {
  guard factor != 1 else { return }
  try withPointers(x) { x in
    check(x, 1, count, count)
    try parallelRanges(count, grain: 1 << 16) { _, range in for i in range { x.base[i] *= factor } }
  }
}

/// y = y / (1 + e^-gate)
///
/// - Parameter gateStride: elements from one row of `gates` to the next.
func applyGates(_ gates: FloatView, gateStride: Int, to y: FloatView, rows: Int, columns: Int) throws {
  try withPointers(gates, y) { gates, y in
    check(gates, rows, columns, gateStride)
    check(y, rows, columns, columns)
    try parallelRanges(rows, grain: grain) { _, range in
      for row in range {
        let g = gates.base + row * gateStride
        let y = y.base + row * columns
        let whole = columns & ~7
        for i in stride(from: 0, to: whole, by: 8) { cv_store(y + i, cv_load(y + i) / (1 + cv_exp(-cv_load(g + i)))) }
        for i in whole..<columns { y[i] /= 1 + exponential(-g[i]) }
      }
    }
  }
}

/// The sigmoid of the product of every row of x with w.
func sigmoids(_ x: FloatView, rows: Int, by w: FloatView) -> [Float] {
  withPointers(x, w) { x, w in
    let columns = w.count
    check(x, rows, columns, columns)
    return (0..<rows).map { row in
      let x = x.base + row * columns
      var sums = SIMD8<Float>.zero
      let whole = columns & ~7
      for i in stride(from: 0, to: whole, by: 8) { sums = cv_fma(cv_load(x + i), cv_load(w.base + i), sums) }
      var sum = cv_sum(sums)
      for i in whole..<columns { sum += x[i] * w.base[i] }
      return 1 / (1 + exponential(-sum))
    }
  }
}

/// Adds a bias [columns] to every row.
func add(_ bias: FloatView, to y: FloatView, rows: Int, columns: Int, stride: Int) throws {
  try withPointers(bias, y) { bias, y in
    check(bias, 1, columns, columns)
    check(y, rows, columns, stride)
    try parallelRanges(rows, grain: grain) { _, range in
      for row in range {
        let out = y.base + row * stride
        for i in 0..<columns { out[i] += bias.base[i] }
      }
    }
  }
}

/// y = a x + b y, for all elements of x.
func mix(_ x: FloatView, factor a: Float, into y: FloatView, factor b: Float) {
  withPointers(x, y) { x, y in
    check(y, 1, x.count, x.count)
    for i in 0..<x.count { y.base[i] = a * x.base[i] + b * y.base[i] }
  }
}

/// Copies rows between matrices of different widths.
func copyRows(from x: FloatView, stride xStride: Int, to y: FloatView, stride yStride: Int, rows: Int, columns: Int) {
  withPointers(x, y) { copyRows(from: $0, stride: xStride, to: $1, stride: yStride, rows: rows, columns: columns) }
}

func copyRows(
  from x: FloatPointer, stride xStride: Int, to y: FloatPointer, stride yStride: Int, rows: Int, columns: Int
) {
  check(x, rows, columns, xStride)
  check(y, rows, columns, yStride)
  for row in 0..<rows { (y.base + row * yStride).update(from: x.base + row * xStride, count: columns) }
}

/// Adds row i of x, times `weight(i)`, to row `target(i)` of y. The targets differ; rows of weight 0 are skipped.
func addRows(
  from x: FloatView, to y: FloatView, columns: Int, count: Int, target: @Sendable (Int) -> Int,
  weight: @Sendable (Int) -> Float
) throws {
  try withPointers(x, y) { x, y in
    check(x, count, columns, columns)
    try parallelRanges(count, grain: grain) { _, range in
      for row in range {
        let weight = weight(row)
        guard weight != 0 else { continue }
        let source = x.base + row * columns
        let sum = y.slice(target(row) * columns, columns).base
        for column in 0..<columns { sum[column] += weight * source[column] }
      }
    }
  }
}

/// Traps where rows are outside of a view.
func check(_ x: FloatPointer, _ rows: Int, _ columns: Int, _ stride: Int) {
  precondition(rows == 0 || x.count >= (rows - 1) * stride + columns, "\(x.count) for \(rows) x \(columns) / \(stride)")
}

/// e^x, by the polynomial of the vector kernels.
func exponential(_ x: Float) -> Float { cv_exp(cv_splat(x))[0] }
