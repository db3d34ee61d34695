/// A format of MLX: groups of weights with a scale and a bias, x = scale * q + bias, along a row.
///
/// In memory, a group is a block like those of GGUF:
///
///     0  scale  half or bfloat16
///     2  bias   of the same type
///     4  codes  `bits` bits each, the first code in the lowest bits, without padding
///
/// MLX's files hold scales, biases and codes in three tensors; the bytes of each are the same.
public struct AffineFormat: Sendable, Hashable {
  /// The type of a scale and a bias.
  public enum Scales: UInt32, Sendable, Hashable, CaseIterable {
    case f16 = 1
    case bf16 = 2

    /// The type of floats with the same bits.
    public var type: GGMLType { self == .f16 ? .f16 : .bf16 }
  }

  /// The way in which scale and bias are found. Files do not show it.
  public enum Encoder: UInt32, Sendable, Hashable {
    /// A search for the minimum of the weighted squared error.
    case search = 1
    /// Minimum and maximum of the group, as `mx.quantize` chooses them.
    case plain = 2
  }

  /// Bits of a code: 2, 3, 4, 5, 6 or 8.
  public let bits: Int
  /// Weights of a group: 32, 64 or 128.
  public let group: Int
  public let scales: Scales
  public let encoder: Encoder

  public static let allBits = [2, 3, 4, 5, 6, 8]
  public static let allGroups = [32, 64, 128]

  /// nil for bits or a group that MLX does not have.
  public init?(bits: Int, group: Int, scales: Scales, encoder: Encoder = .search) {
    guard Self.allBits.contains(bits), Self.allGroups.contains(group) else { return nil }
    (self.bits, self.group, self.scales, self.encoder) = (bits, group, scales, encoder)
  }

  /// All formats of an encoder, the smallest first.
  public static func all(_ scales: Scales, encoder: Encoder = .search) -> [AffineFormat] {
    allBits.flatMap { bits in
      allGroups.reversed().compactMap { AffineFormat(bits: bits, group: $0, scales: scales, encoder: encoder) }
    }
  }

  public var type: GGMLType {
    let raw = encoder.rawValue * 100_000 + scales.rawValue * 10_000 + UInt32(bits * 1000 + group)
    guard let type = GGMLType(rawValue: raw) else { preconditionFailure("no type \(raw)") }
    return type
  }

  /// The same format with other scales.
  public func with(_ scales: Scales) -> AffineFormat {
    AffineFormat(bits: bits, group: group, scales: scales, encoder: encoder) ?? self
  }

  /// `4bit/64`, with `-f16` for scales that are halves and `-plain` for those of `mx.quantize`.
  public var name: String {
    menuName + (scales == .f16 ? "-f16" : "") + (encoder == .plain ? "-plain" : "")
  }

  /// The ``name`` without scales and encoder: `4bit/64`.
  public var menuName: String { "\(bits)bit/\(group)" }

  /// The format of a ``name``. `4bit` means `4bit/64`.
  public init?(name: some StringProtocol) {
    var parts = name.lowercased().split(separator: "-", omittingEmptySubsequences: false)[...]
    guard let head = parts.popFirst(), let end = head.firstRange(of: "bit"), let bits = Int(head[..<end.lowerBound])
    else {
      return nil
    }
    let rest = head[end.upperBound...]
    guard rest.isEmpty || rest.first == "/", let group = rest.isEmpty ? 64 : Int(rest.dropFirst()) else { return nil }
    let isHalf = parts.first == "f16"
    if isHalf { parts.removeFirst() }
    let isPlain = parts.first == "plain"
    if isPlain { parts.removeFirst() }
    guard parts.isEmpty else { return nil }
    self.init(bits: bits, group: group, scales: isHalf ? .f16 : .bf16, encoder: isPlain ? .plain : .search)
  }
}

extension GGMLType {
  /// The name that a user gives the type: `4bit/64`, or ggml's name.
  public var menuName: String { affine?.menuName ?? name }

  /// The first raw value of the affine types.
  package static let firstAffine: UInt32 = 100_000

  /// Whether the type is one of MLX's.
  public var isAffine: Bool { rawValue >= Self.firstAffine }

  /// The format of an affine type; nil for those of GGUF.
  public var affine: AffineFormat? {
    guard isAffine, let scales = AffineFormat.Scales(rawValue: rawValue / 10_000 % 10),
      let encoder = AffineFormat.Encoder(rawValue: rawValue / 100_000)
    else { return nil }
    return AffineFormat(
      bits: Int(rawValue / 1000 % 10), group: Int(rawValue % 1000), scales: scales, encoder: encoder)
  }
}
