import Tensors

/// The element types of safetensors.
enum SourceElement: String, Sendable, Hashable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f8_e4m3 = "F8_E4M3"
  case f8_e5m2 = "F8_E5M2"
  // Never weights; some checkpoints carry buffers of these beside them.
  case f64 = "F64"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// Those that can hold weights.
  static let weights: [SourceElement] = [.f32, .f16, .bf16, .f8_e4m3, .f8_e5m2]

  var bytes: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .f8_e4m3, .f8_e5m2, .i8, .u8, .bool: 1
    }
  }

  /// The GGUF type of the same bits; nil where there is none.
  var type: GGMLType? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default: nil
    }
  }
}
