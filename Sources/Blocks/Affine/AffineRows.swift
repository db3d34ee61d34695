import CBlocks
import Tensors

// The groups of MLX (`AffineFormat`). Eight codes occupy `bits` bytes, so that a group is decoded and packed eight codes at a
// time at every width.

/// Decodes groups: the product is rounded, then the sum.
func decodeAffine(_ bytes: RawSpan, as format: AffineFormat, into output: inout MutableSpan<Float>) {
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBufferPointer { output in
      guard let base = output.baseAddress, let blocks = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
        return
      }
      ca_decode(
        blocks, output.count / format.group, Int32(format.bits), format.group, format.scales == .bf16 ? 1 : 0, base)
    }
  }
}

/// Encodes whole rows of `weights.columns` floats.
func encodeAffineRows(
  _ rows: Span<Float>, _ weights: SearchWeights, as format: AffineFormat, into output: inout MutableRawSpan
) {
  let groups = weights.columns / format.group
  let rowBytes = groups * format.type.blockBytes
  rows.withUnsafeBufferPointer { rows in
    weights.values.withUnsafeBufferPointer { values in
      output.withUnsafeMutableBytes { output in
        guard let x = rows.baseAddress, let w = values.baseAddress,
          let bytes = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return }
        for row in 0..<rows.count / weights.columns {
          switch format.encoder {
          case .plain:
            encodePlainGroups(x + row * weights.columns, count: groups, as: format, into: bytes + row * rowBytes)
          case .search:
            encodeSearchedGroups(
              x + row * weights.columns, weights: w, count: groups, as: format, into: bytes + row * rowBytes)
          }
        }
      }
    }
  }
}

/// Encodes groups as `mx.quantize` does on a CPU.
///
/// The edge of larger magnitude is code 0 and exact, and zero is nearly exact. Codes are chosen with the scale before it is
/// rounded to its stored type.
func encodePlainGroups(
  _ x: Floats, count: Int, as format: AffineFormat, into output: UnsafeMutablePointer<UInt8>
) {
  let levels = Float((1 << format.bits) - 1)
  var codes = InlineArray<128, UInt8>(repeating: 0)
  for index in 0..<count {
    let x = x + index * format.group
    var (low, high) = (x[0], x[0])
    for i in 1..<format.group { (low, high) = (min(low, x[i]), max(high, x[i])) }
    var scale = max((high - low) / levels, 1e-7)
    let isLow = abs(low) > abs(high)
    if !isLow { scale = -scale }
    let edge = isLow ? low : high
    let first = (edge / scale).rounded(.toNearestOrEven)
    var bias: Float = 0
    if first != 0 { (scale, bias) = (edge / first, edge) }
    codes.withBytes { codes in
      for i in 0..<format.group {
        codes[i] = UInt8(min(max(((x[i] - bias) / scale).rounded(.toNearestOrEven), 0), levels))
      }
      packAffine(scale, bias, codes, as: format, into: output + index * format.type.blockBytes)
    }
  }
}

/// Writes a group. Scale and bias are rounded to their type.
@inline(__always)
func packAffine(
  _ scale: Float, _ bias: Float, _ codes: UnsafePointer<UInt8>, as format: AffineFormat,
  into block: UnsafeMutablePointer<UInt8>
) {
  format.scales.store(scale, into: block)
  format.scales.store(bias, into: block + 2)
  ca_pack(codes, format.group, Int32(format.bits), block + 4)
}

extension AffineFormat.Scales {
  /// The nearest number of the type, which is finite for finite `value`.
  @inline(__always) func rounded(_ value: Float) -> Float {
    if self == .f16 { return Float(half(value)) }
    let bits = value.bitPattern
    let rounded = Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    return rounded.isInfinite ? Float(bitPattern: bits & 0xFFFF_0000) : rounded
  }

  /// The neighbour of a number of the type: `steps` units in the last place further from zero.
  @inline(__always) func moved(_ value: Float, by steps: Int) -> Float {
    if self == .f16 {
      let bits = Float16(value).bitPattern
      let magnitude = max(0, min(0x7BFF, Int(bits & 0x7FFF) + steps))
      return Float(Float16(bitPattern: bits & 0x8000 | UInt16(magnitude)))
    }
    let bits = value.bitPattern >> 16
    let magnitude = max(0, min(0x7F7F, Int(bits & 0x7FFF) + steps))
    return Float(bitPattern: (bits & 0x8000 | UInt32(magnitude)) << 16)
  }

  @inline(__always) func store(_ value: Float, into bytes: UnsafeMutablePointer<UInt8>) {
    let bits = self == .f16 ? half(value).bitPattern : UInt16(rounded(value).bitPattern >> 16)
    bytes[0] = UInt8(truncatingIfNeeded: bits)
    bytes[1] = UInt8(truncatingIfNeeded: bits >> 8)
  }
}
