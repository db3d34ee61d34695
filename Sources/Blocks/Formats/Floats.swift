import CBlocks
import Tensors

// F64, F32, F16 and BF16 rows. Conversions to F16 and BF16 round half to even, and so does that from F64.

func decodeF32(_ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBytes { $0.copyMemory(from: bytes) }
  }
}

/// Numbers beyond a float's largest become infinite.
func decodeF64(_ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  bytes.withUnsafeBytes { bytes in
    for index in 0..<output.count {
      output[index] = Float(bytes.loadUnaligned(fromByteOffset: 8 * index, as: Double.self))
    }
  }
}

func decodeF16(_ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBufferPointer { output in
      guard let source = bytes.baseAddress, let target = output.baseAddress else { return }
      var index = 0
      while index + 8 <= output.count {
        cv_store(target + index, cv_load_f16(source + 2 * index))
        index += 8
      }
      while index < output.count {
        target[index] = Float(bytes.loadUnaligned(fromByteOffset: 2 * index, as: Float16.self))
        index += 1
      }
    }
  }
}

func decodeBF16(_ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBufferPointer { output in
      guard let source = bytes.baseAddress, let target = output.baseAddress else { return }
      var index = 0
      while index + 8 <= output.count {
        cv_store(target + index, cv_load_bf16(source + 2 * index))
        index += 8
      }
      while index < output.count {
        target[index] = Float(
          bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
        index += 1
      }
    }
  }
}

func encodeF32(_ rows: Span<Float>, into output: inout MutableRawSpan) {
  rows.bytes.withUnsafeBytes { rows in
    output.withUnsafeMutableBytes { $0.copyMemory(from: rows) }
  }
}

/// Weights beyond the largest F16 become infinite, as in other converters; the reader of a checkpoint warns.
func encodeF16(_ rows: Span<Float>, into output: inout MutableRawSpan) {
  rows.withUnsafeBufferPointer { rows in
    output.withUnsafeMutableBytes { output in
      guard let source = rows.baseAddress, let target = output.baseAddress else { return }
      var index = 0
      while index + 8 <= rows.count {
        cv_store_f16(target + 2 * index, cv_load(source + index))
        index += 8
      }
      while index < rows.count {
        output.storeBytes(of: Float16(source[index]), toByteOffset: 2 * index, as: Float16.self)
        index += 1
      }
    }
  }
}

func encodeBF16(_ rows: Span<Float>, into output: inout MutableRawSpan) {
  rows.withUnsafeBufferPointer { rows in
    output.withUnsafeMutableBytes { output in
      guard let source = rows.baseAddress, let target = output.baseAddress else { return }
      var index = 0
      while index + 8 <= rows.count {
        cv_store_bf16(target + 2 * index, cv_load(source + index))
        index += 8
      }
      while index < rows.count {
        output.storeBytes(of: bfloat16(source[index]), toByteOffset: 2 * index, as: UInt16.self)
        index += 1
      }
    }
  }
}

/// The nearest bfloat16, half to even. `value` is finite, so NaN needs no special case.
@inline(__always) func bfloat16(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
}
