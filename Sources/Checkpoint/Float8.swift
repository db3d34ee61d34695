import CVectors

// The 8-bit floats of checkpoints ("FP8 Formats for Deep Learning").
//
//   E4M3  sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity, and 0x7F is the only NaN
//   E5M2  sign, 5 bits of exponent (bias 15), 2 of mantissa: a half without its low byte
//
// Both are decoded through half precision, which represents all their values. An E5M2 is shifted by 8 bits. The shifted
// bits of an E4M3 give a value 256 times too small. The product with the scale is computed in single precision and
// rounded once.

/// Decodes the elements `start..<start + count` of `bytes`, multiplies them by `scale`, and writes them to the same
/// indices of `output`.
func decodeFloat8(
  _ bytes: UnsafeRawBufferPointer, from start: Int, count: Int, as element: SourceElement, scale: Float,
  into output: UnsafeMutableBufferPointer<Float>
) {
  guard let source = bytes.baseAddress, let target = output.baseAddress else { return }
  let end = start + count
  precondition(start >= 0 && end <= bytes.count && end <= output.count)
  var index = start
  let factors = cv_splat(scale)
  if element == .f8_e5m2 {
    while index + 8 <= end {
      cv_store(target + index, cv_load_f8_e5m2(source + index) * factors)
      index += 8
    }
  } else {
    while index + 8 <= end {
      cv_store(target + index, cv_load_f8_e4m3(source + index) * factors)
      index += 8
    }
  }
  while index < end {
    target[index] = float8(bytes[index], as: element) * scale
    index += 1
  }
}

/// Decodes one element.
@inline(__always) func float8(_ byte: UInt8, as element: SourceElement) -> Float {
  if element == .f8_e5m2 { return Float(Float16(bitPattern: UInt16(byte) << 8)) }
  if byte & 0x7F == 0x7F { return .nan }
  return Float(Float16(bitPattern: UInt16(byte & 0x80) << 8 | UInt16(byte & 0x7F) << 7)) * 256
}
