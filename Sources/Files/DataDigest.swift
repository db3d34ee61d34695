/// A running SHA-256.
///
///     var digest = DataDigest()
///     digest.update(bytes.span.bytes)
///     print(digest.hex())
public struct DataDigest: ~Copyable {
  /// Bytes of a digest.
  public static let byteCount = 32
  private var state = SHA256State()

  /// A digest of no bytes.
  public init() {}

  /// Appends bytes to the digested data.
  public mutating func update(_ bytes: RawSpan) {
    bytes.withUnsafeBytes { state.update($0) }
  }

  /// The digest of all bytes so far.
  public func bytes() -> [UInt8] { state.digest() }

  /// ``bytes()`` as 64 hexadecimal digits.
  public func hex() -> String { hexadecimal(bytes()) }

  /// The digest of `bytes`.
  public static func bytes(of bytes: [UInt8]) -> [UInt8] {
    var digest = DataDigest()
    digest.update(bytes.span.bytes)
    return digest.bytes()
  }

  /// The digest of `bytes`, in hexadecimal.
  public static func hex(of bytes: [UInt8]) -> String { hexadecimal(Self.bytes(of: bytes)) }

  /// The digest of a whole file, in hexadecimal.
  ///
  /// - Throws: ``FileError``.
  public static func ofFile(_ path: String) throws -> String {
    let file = try PositionedFile(path: path)
    var digest = DataDigest()
    for start in stride(from: 0, to: file.size, by: 16 << 20) {
      let bytes = try file.bytes(in: start..<min(file.size, start + (16 << 20)))
      digest.update(bytes.span.bytes)
    }
    return digest.hex()
  }
}

/// Two lowercase digits a byte.
private func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
