/// The scales of a super-block as it stores them: halves of the whole, and small integers of its sub-blocks.
struct SuperBlockScales: BitwiseCopyable {
  var d: Float16 = 0
  /// Scale of the mins, where there are any.
  var dmin: Float16 = 0
  var scales = InlineArray<16, Int16>(repeating: 0)
  var mins = InlineArray<16, Int16>(repeating: 0)

  init() {}

  @inline(__always) init(_ fit: AffineSuperBlock) {
    (d, dmin) = fit.stored
    for j in 0..<8 {
      scales[j] = Int16(fit.low.scale[j])
      scales[j + 8] = Int16(fit.high.scale[j])
      mins[j] = Int16(fit.low.min[j])
      mins[j + 8] = Int16(fit.high.min[j])
    }
  }

  @inline(__always) init(_ fit: ScaledSuperBlock) {
    d = fit.stored
    for j in 0..<8 {
      scales[j] = Int16(fit.low[j])
      scales[j + 8] = Int16(fit.high[j])
    }
  }
}
