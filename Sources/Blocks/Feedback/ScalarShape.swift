import CBlocks
import Tensors

/// A format that rounds every weight by itself: v = step * level - offset.
///
/// In a super-block, step = d * scale and offset = dmin * min with small integers of the sub-block. In formats of 32
/// weights, and in MLX's groups, step and offset are the block's numbers of 16 bits: `scale` and `min` hold these, with
/// d = dmin = 1.
struct ScalarShape {
  let type: GGMLType
  /// Columns of a sub-block.
  let length: Int
  let levels: cf_levels
  /// Integer scales of a super-block; nil in formats of 32 weights and in MLX's groups.
  let scales: ClosedRange<Float>?
  /// The largest integer min of a super-block.
  let largestMin: Float
  /// Whether there are offsets.
  let isAffine: Bool
  /// The format of MLX's groups; nil for others.
  let groups: AffineFormat?

  private init(
    _ type: GGMLType, length: Int, _ low: Float, _ high: Float, isIQ4: Bool = false, scales: ClosedRange<Float>? = nil,
    largestMin: Float = 0, isAffine: Bool = false, groups: AffineFormat? = nil
  ) {
    self.type = type
    self.length = length
    levels = cf_levels(low: low, high: high, is_iq4: isIQ4 ? 1 : 0)
    self.scales = scales
    self.largestMin = largestMin
    self.isAffine = isAffine
    self.groups = groups
  }

  /// Steps and offsets of blocks without a super-block, as they are stored.
  @inline(__always) func stored(_ values: Lane) -> Lane {
    groups?.scales == .bf16 ? cf_bf16(values) : cf_half(values)
  }

  init?(_ type: GGMLType) {
    switch type {
    case .q2_K: self.init(type, length: 16, 0, 3, scales: 0...15, largestMin: 15, isAffine: true)
    case .q3_K: self.init(type, length: 16, -4, 3, scales: -32...31)
    case .q4_K: self.init(type, length: 32, 0, 15, scales: 0...63, largestMin: 63, isAffine: true)
    case .q5_K: self.init(type, length: 32, 0, 31, scales: 0...63, largestMin: 63, isAffine: true)
    case .q6_K: self.init(type, length: 16, -32, 31, scales: -128...127)
    case .iq4_xs: self.init(type, length: 32, -127, 113, isIQ4: true, scales: -32...31)
    case .iq4_nl: self.init(type, length: 32, -127, 113, isIQ4: true)
    case .q4_0: self.init(type, length: 32, -8, 7)
    case .q5_0: self.init(type, length: 32, -16, 15)
    case .q8_0: self.init(type, length: 32, -127, 127)
    case .q4_1: self.init(type, length: 32, 0, 15, isAffine: true)
    case .q5_1: self.init(type, length: 32, 0, 31, isAffine: true)
    default:
      guard let format = type.affine, format.encoder == .search else { return nil }
      self.init(type, length: format.group, 0, Float((1 << format.bits) - 1), isAffine: true, groups: format)
    }
  }
}
