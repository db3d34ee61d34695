import Tensors

/// The element types of safetensors.
package enum SourceElement: String, Sendable, Hashable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f8_e4m3 = "F8_E4M3"
  case f8_e5m2 = "F8_E5M2"
  // Not read as weights; some checkpoints have buffers of these types.
  case f8_e4m3fnuz = "F8_E4M3FNUZ"
  case f8_e5m2fnuz = "F8_E5M2FNUZ"
  case f8_e8m0 = "F8_E8M0"
  case f6_e2m3 = "F6_E2M3"
  case f6_e3m2 = "F6_E3M2"
  case f4 = "F4"
  case c64 = "C64"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// The types that can hold weights.
  static let weights: [SourceElement] = [.f64, .f32, .f16, .bf16, .f8_e4m3, .f8_e5m2]

  var isFloat8: Bool { self == .f8_e4m3 || self == .f8_e5m2 }

  var bits: Int {
    switch self {
    case .f64, .c64, .i64, .u64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .f8_e4m3, .f8_e5m2, .f8_e4m3fnuz, .f8_e5m2fnuz, .f8_e8m0, .i8, .u8, .bool: 8
    case .f6_e2m3, .f6_e3m2: 6
    case .f4: 4
    }
  }

  /// The GGUF type with the same bits; nil if there is none.
  package var type: GGMLType? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default: nil
    }
  }

  /// The narrowest GGUF type of the same range. F64 is rounded to F32.
  var nearestType: GGMLType { type ?? (self == .f64 ? .f32 : .bf16) }
}
