/// The storage type of a tensor's elements, with ggml's type id as the raw value.
///
/// A row consists of whole blocks; a block holds ``blockLength`` elements in ``blockBytes`` bytes.
/// Source: the `gguf` package's `GGMLQuantizationType` and `GGML_QUANT_SIZES`.
public enum GGMLType: UInt32, CaseIterable, Sendable, Hashable, Codable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q5_1 = 7
  case q8_0 = 8
  case q2_K = 10
  case q3_K = 11
  case q4_K = 12
  case q5_K = 13
  case q6_K = 14
  case iq2_xxs = 16
  case iq2_xs = 17
  case iq3_xxs = 18
  case iq1_s = 19
  case iq4_nl = 20
  case iq3_s = 21
  case iq2_s = 22
  case iq4_xs = 23
  case i8 = 24
  case i16 = 25
  case i32 = 26
  case i64 = 27
  case f64 = 28
  case iq1_m = 29
  case bf16 = 30
  case tq1_0 = 34
  case tq2_0 = 35
  case mxfp4 = 39

  /// The name in llama.cpp: `Q4_K`, `IQ2_XXS`, `F16`.
  public var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .bf16: "BF16"
    case .f64: "F64"
    case .i8: "I8"
    case .i16: "I16"
    case .i32: "I32"
    case .i64: "I64"
    case .q4_0: "Q4_0"
    case .q4_1: "Q4_1"
    case .q5_0: "Q5_0"
    case .q5_1: "Q5_1"
    case .q8_0: "Q8_0"
    case .q2_K: "Q2_K"
    case .q3_K: "Q3_K"
    case .q4_K: "Q4_K"
    case .q5_K: "Q5_K"
    case .q6_K: "Q6_K"
    case .iq1_s: "IQ1_S"
    case .iq1_m: "IQ1_M"
    case .iq2_xxs: "IQ2_XXS"
    case .iq2_xs: "IQ2_XS"
    case .iq2_s: "IQ2_S"
    case .iq3_xxs: "IQ3_XXS"
    case .iq3_s: "IQ3_S"
    case .iq4_nl: "IQ4_NL"
    case .iq4_xs: "IQ4_XS"
    case .tq1_0: "TQ1_0"
    case .tq2_0: "TQ2_0"
    case .mxfp4: "MXFP4"
    }
  }

  /// The type of a ``name``, in upper or lower case.
  public init?(name: some StringProtocol) {
    let uppercased = name.uppercased()
    guard let type = Self.allCases.first(where: { $0.name == uppercased }) else { return nil }
    self = type
  }

  /// Elements in a block.
  public var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
    default: 256
    }
  }

  /// Bytes of a block.
  public var blockBytes: Int {
    switch self {
    case .i8: 1
    case .f16, .bf16, .i16: 2
    case .f32, .i32: 4
    case .f64, .i64: 8
    case .mxfp4: 17
    case .q4_0, .iq4_nl: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .iq1_s: 50
    case .tq1_0: 54
    case .iq1_m: 56
    case .iq2_xxs, .tq2_0: 66
    case .iq2_xs: 74
    case .iq2_s: 82
    case .q2_K: 84
    case .iq3_xxs: 98
    case .q3_K, .iq3_s: 110
    case .iq4_xs: 136
    case .q4_K: 144
    case .q5_K: 176
    case .q6_K: 210
    }
  }

  /// Whether the type stores elements in blocks: all types except floats and integers.
  public var isQuantized: Bool { blockLength > 1 }

  /// Whether the elements are integers: indices, not weights.
  public var isInteger: Bool {
    switch self {
    case .i8, .i16, .i32, .i64: true
    default: false
    }
  }

  /// Bits per weight.
  public var bitsPerWeight: Double { Double(blockBytes * 8) / Double(blockLength) }

  /// Bytes of a row of `columns` elements; nil where they are not whole blocks or the number overflows.
  public func rowBytes(columns: Int) -> Int? {
    guard columns >= 0, columns % blockLength == 0 else { return nil }
    let (bytes, overflow) = (columns / blockLength).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }
}

extension GGMLType: CustomStringConvertible {
  public var description: String { name }
}
