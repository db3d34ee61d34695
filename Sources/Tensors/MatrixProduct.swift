#if canImport(Accelerate)
  import Accelerate
#else
  import COpenBLAS
#endif

/// y [tokens, outputs] = x [tokens, inputs] times the transpose of w [outputs, inputs], all row-major.
///
/// `accumulate` adds to y instead of replacing it. `outputStride` is the distance between rows of y where y is a slice
/// of columns of a wider matrix (default: `outputs`).
public func multiply(
  _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>,
  tokens: Int, inputs: Int, outputs: Int, outputStride: Int? = nil, accumulate: Bool = false
) {
  guard tokens > 0, outputs > 0 else { return }
  let stride = outputStride ?? outputs
  precondition(
    x.count >= tokens * inputs && w.count >= outputs * inputs && stride >= outputs
      && y.count >= (tokens - 1) * stride + outputs,
    "x \(x.count), w \(w.count), y \(y.count) for [\(tokens), \(inputs)] by [\(outputs), \(inputs)]")
  x.withUnsafeBufferPointer { x in
    w.withUnsafeBufferPointer { w in
      y.withUnsafeMutableBufferPointer { y in
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, BLASInt(tokens), BLASInt(outputs), BLASInt(inputs), 1,
          x.baseAddress, BLASInt(inputs), w.baseAddress, BLASInt(inputs), accumulate ? 1 : 0,
          y.baseAddress, BLASInt(stride))
      }
    }
  }
}

/// y (+)= x times w, over slices of wider matrices: rows lie `…Stride` elements apart.
///
/// x is [tokens, inputs], w is [outputs, inputs] and is transposed, y is [tokens, outputs]. The spans begin at the first
/// element and reach at least to the last.
public func multiplySlices(
  _ x: Span<Float>, xStride: Int, by w: Span<Float>, wStride: Int,
  into y: inout MutableSpan<Float>, yStride: Int, tokens: Int, inputs: Int, outputs: Int, accumulate: Bool = false
) {
  guard tokens > 0, outputs > 0 else { return }
  precondition(
    xStride >= inputs && wStride >= inputs && yStride >= outputs && x.count >= (tokens - 1) * xStride + inputs
      && w.count >= (outputs - 1) * wStride + inputs && y.count >= (tokens - 1) * yStride + outputs,
    "x \(x.count)/\(xStride), w \(w.count)/\(wStride), y \(y.count)/\(yStride) for [\(tokens), \(inputs)] to \(outputs)"
  )
  x.withUnsafeBufferPointer { x in
    w.withUnsafeBufferPointer { w in
      y.withUnsafeMutableBufferPointer { y in
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, BLASInt(tokens), BLASInt(outputs),
          BLASInt(inputs), 1, x.baseAddress, BLASInt(xStride), w.baseAddress, BLASInt(wStride), accumulate ? 1 : 0,
          y.baseAddress, BLASInt(yStride))
      }
    }
  }
}

#if canImport(Accelerate)
  private typealias BLASInt = __LAPACK_int
#else
  private typealias BLASInt = Int32
#endif

/// Tells the matrix library how many threads one product may use: 1 inside parallel rows, all of them outside.
public func setMatrixThreads(_ count: Int) {
  #if !canImport(Accelerate)
    openblas_set_num_threads(Int32(count))
  #endif
}
