#if canImport(Accelerate)
  import Accelerate

  extension ProductEngines {
    /// Accelerate, which uses the processor's matrix units.
    public static var platform: any ProductEngine { BLASProduct() }
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
  }
#endif
