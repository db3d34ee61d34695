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

  // Affine groups of MLX (``AffineFormat``): searched, and as `mx.quantize` chooses them. The raw value has, in decimal
  // digits, the encoder, the type of scales, the bits, and the group. No GGUF has these.
  case affine2_32_f16 = 112032, affine2_64_f16 = 112064, affine2_128_f16 = 112128
  case affine3_32_f16 = 113032, affine3_64_f16 = 113064, affine3_128_f16 = 113128
  case affine4_32_f16 = 114032, affine4_64_f16 = 114064, affine4_128_f16 = 114128
  case affine5_32_f16 = 115032, affine5_64_f16 = 115064, affine5_128_f16 = 115128
  case affine6_32_f16 = 116032, affine6_64_f16 = 116064, affine6_128_f16 = 116128
  case affine8_32_f16 = 118032, affine8_64_f16 = 118064, affine8_128_f16 = 118128
  case affine2_32_bf16 = 122032, affine2_64_bf16 = 122064, affine2_128_bf16 = 122128
  case affine3_32_bf16 = 123032, affine3_64_bf16 = 123064, affine3_128_bf16 = 123128
  case affine4_32_bf16 = 124032, affine4_64_bf16 = 124064, affine4_128_bf16 = 124128
  case affine5_32_bf16 = 125032, affine5_64_bf16 = 125064, affine5_128_bf16 = 125128
  case affine6_32_bf16 = 126032, affine6_64_bf16 = 126064, affine6_128_bf16 = 126128
  case affine8_32_bf16 = 128032, affine8_64_bf16 = 128064, affine8_128_bf16 = 128128
  case plain2_32_f16 = 212032, plain2_64_f16 = 212064, plain2_128_f16 = 212128
  case plain3_32_f16 = 213032, plain3_64_f16 = 213064, plain3_128_f16 = 213128
  case plain4_32_f16 = 214032, plain4_64_f16 = 214064, plain4_128_f16 = 214128
  case plain5_32_f16 = 215032, plain5_64_f16 = 215064, plain5_128_f16 = 215128
  case plain6_32_f16 = 216032, plain6_64_f16 = 216064, plain6_128_f16 = 216128
  case plain8_32_f16 = 218032, plain8_64_f16 = 218064, plain8_128_f16 = 218128
  case plain2_32_bf16 = 222032, plain2_64_bf16 = 222064, plain2_128_bf16 = 222128
  case plain3_32_bf16 = 223032, plain3_64_bf16 = 223064, plain3_128_bf16 = 223128
  case plain4_32_bf16 = 224032, plain4_64_bf16 = 224064, plain4_128_bf16 = 224128
  case plain5_32_bf16 = 225032, plain5_64_bf16 = 225064, plain5_128_bf16 = 225128
  case plain6_32_bf16 = 226032, plain6_64_bf16 = 226064, plain6_128_bf16 = 226128
  case plain8_32_bf16 = 228032, plain8_64_bf16 = 228064, plain8_128_bf16 = 228128

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
    default: affine?.name ?? "\(rawValue)"
    }
  }

  /// The types that a GGUF can have, whose raw values are ggml's ids.
  public static let allCases: [GGMLType] = (0..<256).compactMap { GGMLType(rawValue: $0) }

  /// The type of a ``name``, in upper or lower case.
  public init?(name: some StringProtocol) {
    if let affine = AffineFormat(name: name) {
      self = affine.type
      return
    }
    let uppercased = name.uppercased()
    guard let type = Self.allCases.first(where: { $0.name == uppercased }) else { return nil }
    self = type
  }

  /// Elements in a block.
  public var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
    default: isAffine ? Int(rawValue % 1000) : 256
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
    default: 4 + Int(rawValue / 1000 % 10 * (rawValue % 1000)) / 8
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
