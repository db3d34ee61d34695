import GGUF
import Tensors

extension TensorRole {
  /// Whether the tensor contains attention values, which are small and sensitive.
  var holdsValues: Bool { self == .attentionV || self == .attentionQKV || self == .attentionKVB }
}

extension GGMLType {
  /// This type if its blocks fit rows of `columns` elements; otherwise the nearest type with blocks of 32, or F16 if
  /// those do not fit. The choice is llama-quantize's.
  public func fitting(columns: Int) -> GGMLType {
    guard columns % blockLength != 0 else { return self }
    if let affine {
      let smaller = [64, 32].first { $0 < affine.group && columns % $0 == 0 }
      return smaller.flatMap {
        AffineFormat(bits: affine.bits, group: $0, scales: affine.scales, encoder: affine.encoder)
      }?.type ?? affine.scales.type
    }
    let smaller: GGMLType =
      switch self {
      case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .iq4_xs: .iq4_nl
      case .q2_K, .q3_K, .tq1_0, .tq2_0: .q4_0
      case .q4_K: .q5_0
      case .q5_K: .q5_1
      case .q6_K: .q8_0
      default: self
      }
    return columns % smaller.blockLength == 0 ? smaller : .f16
  }
}
