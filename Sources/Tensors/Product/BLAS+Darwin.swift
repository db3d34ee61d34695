#if canImport(Accelerate)
  import Accelerate

  extension ProductEngines {
    /// Accelerate, which uses the processor's matrix units.
    package static var platform: any ProductEngine { BLASProduct() }
  }

  /// Accelerate.
  enum BLAS {
    static func multiply(
      _ x: UnsafePointer<Float>, by w: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, shape: ProductShape,
      accumulate: Bool
    ) {
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(shape.tokens), Int32(shape.rows), Int32(shape.columns), 1, x,
        Int32(shape.xStride), w, Int32(shape.columns), accumulate ? 1 : 0, y, Int32(shape.yStride))
    }

    /// c [rows, columns] += the transpose of a times b, for a [tokens, rows] and b [tokens, columns].
    static func addTransposed(
      _ a: UnsafePointer<Float>, times b: UnsafePointer<Float>, to c: UnsafeMutablePointer<Float>, tile: GramTile
    ) {
      cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasNoTrans, Int32(tile.rows.count), Int32(tile.columns.count), Int32(tile.tokens),
        1, a, Int32(tile.xStride), b, Int32(tile.yStride), 1, c, Int32(tile.stride))
    }

    /// The upper triangle of c [columns, columns] += the transpose of a times a, for a [tokens, columns].
    static func addSquare(_ a: UnsafePointer<Float>, to c: UnsafeMutablePointer<Float>, tile: GramTile) {
      cblas_ssyrk(
        CblasRowMajor, CblasUpper, CblasTrans, Int32(tile.rows.count), Int32(tile.tokens), 1, a, Int32(tile.xStride), 1,
        c, Int32(tile.stride))
    }

    /// b [size, sides] = R⁻¹ b for R upper triangular, or with R transposed R⁻ᵀ b, on the calling thread.
    static func solve(_ r: DoubleMatrix, _ b: UnsafeMutablePointer<Double>, size: Int, sides: Int) {
      cblas_dtrsm(
        CblasRowMajor, CblasLeft, CblasUpper, r.isTransposed ? CblasTrans : CblasNoTrans, CblasNonUnit, Int32(size),
        Int32(sides), 1, r.base, Int32(r.stride), b, Int32(sides))
    }
  }
#endif
