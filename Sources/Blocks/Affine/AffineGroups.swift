import CBlocks
import Tensors

// The search for scale and bias of MLX's groups: eight groups at a time, one in each lane (`Lanes`).
//
// 1. Candidates clip the group's range at both ends; each is solved for the least weighted squared error (`fitAffine`).
//    `mx.quantize`'s own scale and bias are a candidate too.
// 2. Scale and bias are rounded to their stored type. With eight bits of mantissa, a rounded scale misses the last codes by a
//    whole level, and a rounded bias all of them by a quarter. So the neighbours of both are tried, each with codes chosen
//    for the rounded numbers.
// 3. Scale and bias are solved for again with those codes and rounded, while the error falls.

/// Encodes `count` groups of one row.
func encodeSearchedGroups(
  _ x: Floats, weights: Floats, count: Int, as format: AffineFormat, into output: UnsafeMutablePointer<UInt8>
) {
  var codes = InlineArray<128, UInt8>(repeating: 0)
  codes.withBytes { codes in
    searchGroups(x, weights: weights, count: count, as: format) { index, scale, min, x in
      roundGroup(x, format, scale: scale, min: min, into: codes)
      packAffine(scale, -min, codes, as: format, into: output + index * format.type.blockBytes)
    }
  }
}

/// Finds scale and min, x ≈ scale * q - min, of `count` groups of one row. `body` gets a group's index, both numbers, and its
/// weights.
@inline(__always)
func searchGroups(
  _ x: Floats, weights: Floats, count: Int, as format: AffineFormat, _ body: (Int, Float, Float, Floats) -> Void
) {
  let length = format.group
  withUnsafeTemporaryAllocation(byteCount: 5 * 32 * length, alignment: 32) { storage in
    let lanes = storage.baseAddress!.assumingMemoryBound(to: Lane.self)
    let block = Lanes(x: lanes, w: lanes + length, importance: lanes + length, length: length)
    let padded = (lanes + 2 * length).withMemoryRebound(to: Float.self, capacity: 16 * length) { $0 }
    for first in stride(from: 0, to: count, by: 8) {
      let groups = min(8, count - first)
      var (source, costs) = (x + first * length, weights + first * length)
      if groups < 8 {
        padded.update(repeating: 0, count: 8 * length)
        padded.update(from: source, count: groups * length)
        (padded + 8 * length).update(repeating: 1, count: 8 * length)
        (padded + 8 * length).update(from: costs, count: groups * length)
        (source, costs) = (UnsafePointer(padded), UnsafePointer(padded + 8 * length))
      }
      for i in stride(from: 0, to: length, by: 8) {
        cv_load_columns(source + i, length, block.x + i)
        cv_load_columns(costs + i, length, block.w + i)
      }
      for i in 0..<length { block.x[i] = cv_clamp(block.x[i], cv_splat(-bound), cv_splat(bound)) }
      let fit = AffineGroupSearch(block, format).best()
      for k in 0..<groups { body(first + k, fit.scale[k], fit.min[k], source + k * length) }
    }
  }
}

/// Rounds a group to codes.
@inline(__always)
private func roundGroup(
  _ x: Floats, _ format: AffineFormat, scale: Float, min: Float, into codes: UnsafeMutablePointer<UInt8>
) {
  let inverse = abs(scale) > negligible ? 1 / scale : 0
  let (factor, bias, top) = (cv_splat(inverse), cv_splat(min * inverse), cv_splat(Float((1 << format.bits) - 1)))
  for i in stride(from: 0, to: format.group, by: 8) {
    cv_store_bytes(codes + i, cv_clamp(cv_round(cv_fma(cv_load(x + i), factor, bias)), cv_splat(0), top))
  }
}

/// The search in eight groups at once. Lanes do not affect each other.
struct AffineGroupSearch {
  private let block: Lanes
  private let format: AffineFormat
  private let levels: Lane
  private var found = AffineFit()
  private var lowest = cv_splat(.infinity)

  init(_ block: Lanes, _ format: AffineFormat) {
    self.block = block
    self.format = format
    levels = cv_splat(Float((1 << format.bits) - 1))
  }

  /// Scales and mins whose numbers are those of the stored type.
  @inline(__always) mutating func search() {
    let fit = fitAffine(block, format.shape)
    let plain = plainFit()
    tryBoth(rounded(fit), rounded(plain))
    tryNeighbours(of: fit)
    for _ in 0..<6 {
      let (solved, shifted) = solved(found)
      let before = lowest
      tryBoth(rounded(solved), rounded(shifted))
      if cv_largest(before - lowest) <= 0 { break }
    }
  }

  func best() -> AffineFit {
    var copy = self
    copy.search()
    return copy.found
  }

  @inline(__always) private func rounded(_ fit: AffineFit) -> AffineFit {
    var result = AffineFit()
    for k in 0..<8 {
      result.scale[k] = format.scales.rounded(fit.scale[k])
      result.min[k] = format.scales.rounded(fit.min[k])
    }
    return result
  }

  @inline(__always) private mutating func tryBoth(_ a: AffineFit, _ b: AffineFit) {
    let (first, second) = affineErrors(block, levels: levels, a, b)
    take(a, first)
    take(b, second)
  }

  @inline(__always) private mutating func take(_ fit: AffineFit, _ error: Lane) {
    found.scale = cv_where_less(error, lowest, fit.scale, found.scale)
    found.min = cv_where_less(error, lowest, fit.min, found.min)
    lowest = cv_min(lowest, error)
  }

  /// Tries the scales around a real one, each with the biases that keep the middle of the range where it is.
  @inline(__always) private mutating func tryNeighbours(of fit: AffineFit) {
    for step in -1...1 {
      var (under, over) = (AffineFit(), AffineFit())
      for k in 0..<8 {
        let scale = format.scales.moved(format.scales.rounded(fit.scale[k]), by: step)
        let min = fit.min[k] + (scale - fit.scale[k]) * 0.5 * levels[k]
        let middle = format.scales.rounded(min)
        // The numbers of the type on both sides of the ideal bias.
        let other = format.scales.moved(middle, by: abs(min) > abs(middle) ? 1 : -1)
        (under.scale[k], under.min[k]) = (scale, middle)
        (over.scale[k], over.min[k]) = (scale, other)
      }
      tryBoth(under, over)
    }
  }

  /// Least squares for the codes of a fit: scale and bias, and the bias alone.
  @inline(__always) private func solved(_ fit: AffineFit) -> (AffineFit, AffineFit) {
    let zero = cv_splat(0)
    let inverse = fit.scale.reciprocal
    let bias = fit.min * inverse
    var (w, wx, wq, qq, xq) = (zero, zero, zero, zero, zero)
    for i in 0..<block.length {
      let (x, weight) = (block.x[i], block.w[i])
      let q = cv_clamp(cv_round(cv_fma(x, inverse, bias)), zero, levels)
      let product = weight * q
      w += weight
      wx = cv_fma(weight, x, wx)
      wq += product
      qq = cv_fma(product, q, qq)
      xq = cv_fma(product, x, xq)
    }
    let determinant = w * qq - wq * wq
    let unit = cv_where_less(w * qq * cv_splat(1e-6), determinant, cv_splat(1) / determinant, zero)
    let scale = (w * xq - wx * wq) * unit
    let both = AffineFit(
      scale: cv_where_less(zero, unit, scale, fit.scale),
      min: cv_where_less(zero, unit, (wq * xq - qq * wx) * unit, fit.min))
    return (both, AffineFit(scale: fit.scale, min: (fit.scale * wq - wx) * w.reciprocal))
  }

  /// `mx.quantize`'s choice.
  @inline(__always) private func plainFit() -> AffineFit {
    var (low, high) = (block.x[0], block.x[0])
    for i in 1..<block.length {
      low = cv_min(low, block.x[i])
      high = cv_max(high, block.x[i])
    }
    var fit = AffineFit()
    for k in 0..<8 {
      let range = max((high[k] - low[k]) / levels[k], 1e-7)
      let isLow = abs(low[k]) > abs(high[k])
      let (edge, scale) = (isLow ? low[k] : high[k], isLow ? range : -range)
      let first = (edge / scale).rounded(.toNearestOrEven)
      (fit.scale[k], fit.min[k]) = first != 0 ? (edge / first, -edge) : (scale, 0)
    }
    return fit
  }
}

extension AffineFormat {
  /// The candidates of the search.
  var shape: AffineShape {
    // The fewer the levels, the further beyond the last ones the extremes of a group are best clipped: normal weights by half a
    // level to one and a half at two bits, by less than one at four.
    let offsets: ClipOffsets =
      switch bits {
      case 2: ClipOffsets(first: -0.3, step: 0.2, count: 10)
      case 3: ClipOffsets(first: -0.6, step: 0.25, count: 8)
      case 4: ClipOffsets(first: -1, step: 0.3, count: 8)
      case 5: ClipOffsets(first: -1.5, step: 0.5, count: 6)
      case 6: ClipOffsets(first: -1.5, step: 0.6, count: 4)
      default: ClipOffsets(first: -1, step: 0.5, count: 4)
      }
    return AffineShape(length: group, levels: Float((1 << bits) - 1), clipOffsets: offsets)
  }
}
