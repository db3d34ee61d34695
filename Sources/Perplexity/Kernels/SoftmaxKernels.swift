import CVectors
import Tensors
import Transformer

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

// Loops over the vocabulary. Exponentials are in single precision, within 2 units in the last place. All sums are in
// double precision, so a log-sum-exp is within 3e-7 of the exact value for any vocabulary.

/// The running softmax of one model at one position, over tiles of the vocabulary.
struct RunningSoftmax: BitwiseCopyable, Sendable {
  /// The largest logit so far, and the first token with it.
  var peak = -Float.infinity
  var top: Int32 = -1
  /// The logit of the token to predict.
  var target: Float = 0
  /// The sum of e^(logit - peak).
  var sum = 0.0
  /// The sum of e^(a - peak of a) * (a - b), with a the reference's logits and b this model's.
  var difference = 0.0

  /// The natural logarithm of the sum of e^logit.
  var logSum: Double { Double(peak) + log(sum) }
  /// -ln of the probability of the target, in nats.
  var loss: Double { logSum - Double(target) }

  /// Merges a tile's maximum, and returns the rescaling factor for the running sums.
  mutating func updateMax(_ x: UnsafePointer<Float>, _ count: Int, first: Int) -> Double {
    let highest = largest(x, count)
    guard highest > peak else { return 1 }
    var index = 0
    while index < count && x[index] != highest { index += 1 }
    let factor = exp(Double(peak) - Double(highest))
    peak = highest
    top = Int32(first + index)
    return factor
  }
}

/// The maximum of x; NaNs are ignored.
func largest(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
  var vector = cv_splat(-.infinity)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { vector = cv_max(vector, cv_load(x + i)) }
  var result = cv_largest(vector)
  for i in whole..<count where x[i] > result { result = x[i] }
  return result
}

/// The minimum of x; NaNs are ignored.
func smallest(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
  var vector = cv_splat(.infinity)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { vector = cv_min(vector, cv_load(x + i)) }
  var result = cv_smallest(vector)
  for i in whole..<count where x[i] < result { result = x[i] }
  return result
}

/// Computes w = e^(x - peak), and returns the sum. w may be x.
func exponentials(
  _ x: UnsafePointer<Float>, _ count: Int, peak: Float, into w: UnsafeMutablePointer<Float>
) -> Double {
  var low = SIMD4<Double>.zero
  var high = SIMD4<Double>.zero
  let shift = cv_splat(peak)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let e = cv_exp(cv_load(x + i) - shift)
    cv_store(w + i, e)
    low += cv_low_f64(e)
    high += cv_high_f64(e)
  }
  var sum = cv_sum_f64(low + high)
  for i in whole..<count {
    w[i] = cv_exp(cv_splat(x[i] - peak))[0]
    sum += Double(w[i])
  }
  return sum
}

/// The sums of e^(b - peak) and of w (a - b).
func divergenceTerms(
  weights w: UnsafePointer<Float>, reference a: UnsafePointer<Float>, candidate b: UnsafePointer<Float>, _ count: Int,
  peak: Float
) -> (sum: Double, difference: Double) {
  var sumLow = SIMD4<Double>.zero
  var sumHigh = SIMD4<Double>.zero
  var differenceLow = SIMD4<Double>.zero
  var differenceHigh = SIMD4<Double>.zero
  let shift = cv_splat(peak)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let y = cv_load(b + i)
    let e = cv_exp(y - shift)
    sumLow += cv_low_f64(e)
    sumHigh += cv_high_f64(e)
    let weight = cv_load(w + i)
    let gap = cv_load(a + i) - y
    differenceLow += cv_low_f64(weight) * cv_low_f64(gap)
    differenceHigh += cv_high_f64(weight) * cv_high_f64(gap)
  }
  var sum = cv_sum_f64(sumLow + sumHigh)
  var difference = cv_sum_f64(differenceLow + differenceHigh)
  for i in whole..<count {
    sum += Double(cv_exp(cv_splat(b[i] - peak))[0])
    difference += Double(w[i]) * Double(a[i] - b[i])
  }
  return (sum, difference)
}

/// Logits of a tile, [models, rows, vocabulary].
///
/// Unchecked: one thread fills it before several threads read it.
final class LogitTile: @unchecked Sendable {
  let start: UnsafeMutablePointer<Float>
  private let capacity: Int

  init(capacity: Int) {
    start = .allocate(capacity: capacity)
    self.capacity = capacity
  }

  deinit { start.deallocate() }

  /// Fills the logits of model number `index`. Its name and the windows are for messages.
  func fill(
    _ index: Int, from model: (name: String, source: any LogitSource), rows: Range<Int>, vocabulary: Range<Int>,
    _ windows: ScoringWindows
  ) throws {
    let count = rows.count * vocabulary.count
    precondition((index + 1) * count <= capacity)
    var span = MutableSpan(_unsafeStart: start + index * count, count: count)
    do {
      try model.source.logits(rows: rows, vocabulary: vocabulary, into: &span)
    } catch ForwardError.nonFinite(let tensor, let window?, let position?) {
      let number = window < windows.numbers.count ? windows.numbers[window] : window
      throw ScoringError.nonFiniteLogits(model: model.name, window: number, position: position, tensor: tensor)
    }
  }

  func row(_ row: Int, model: Int, rows: Int, columns: Int) -> UnsafePointer<Float> {
    UnsafePointer(start + (model * rows + row) * columns)
  }
}

extension LogitTile {
  /// Copies the first model's logits, [rows, columns], to the columns of rows of `width` elements.
  func copy(to other: LogitTile, rows: Int, columns: Range<Int>, width: Int) {
    for row in 0..<rows {
      other.mutableRow(row, columns: width).advanced(by: columns.lowerBound)
        .update(from: self.row(row, model: 0, rows: rows, columns: columns.count), count: columns.count)
    }
  }

  func mutableRow(_ row: Int, columns: Int) -> UnsafeMutablePointer<Float> { start + row * columns }
}

/// False if any of x is NaN or infinite: only then x - x is not 0.
func allFinite(_ x: UnsafePointer<Float>, _ count: Int) -> Bool {
  var sum = SIMD8<Float>.zero
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let v = cv_load(x + i)
    sum += v - v
  }
  var finite = cv_sum(sum) == 0
  for i in whole..<count where !x[i].isFinite { finite = false }
  return finite
}

/// Sets every element of `results` to `make(index)`, in parallel.
func fillInParallel<Element: Sendable>(
  _ results: inout [Element], _ make: @Sendable (_ index: Int) throws -> Element
) throws {
  let count = results.count
  try results.withUnsafeMutableBufferPointer { buffer in
    // Each index is written by one thread.
    nonisolated(unsafe) let base = buffer.baseAddress
    try parallelRanges(count, grain: 1) { index, _ in base![index] = try make(index) }
  }
}

/// Calls `body` with `count` uninitialised floats of scratch memory.
func withScratch<R>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> R) rethrows -> R {
  try FloatMemory.withScratch(count, body)
}
