import OrderedCollections

// A string of a GGUF file is a length and bytes. By the specification the bytes are UTF-8. In practice some are not: a
// token that was cut inside of a character, a file name in a Windows code page. llama.cpp keeps such bytes unchanged.
//
// In memory every key, tensor name and value is a `String` from which the bytes can be restored. A byte that is not
// part of valid UTF-8 is represented by the scalar U+10FE00 + byte, from U+10FE80 to U+10FEFF, at the end of Unicode's
// last private use area. Where a file contains one of these scalars itself, each of its four bytes is represented in
// this way. Different bytes therefore have different strings, and valid UTF-8 is an ordinary string.

extension String {
  /// The string that represents the bytes of a GGUF file's string.
  public init(stored bytes: some Collection<UInt8>) {
    if let valid = String(validating: bytes, as: UTF8.self), !valid.hasStandIns {
      self = valid
      return
    }
    var text = String.UnicodeScalarView()
    func append(_ encoded: some Sequence<UInt8>) {
      for byte in encoded { text.append(Unicode.Scalar(standIns.lowerBound + UInt32(byte) - 0x80) ?? "\u{FFFD}") }
    }
    var parser = Unicode.UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var remaining = bytes[...]
    parsing: while true {
      switch parser.parseScalar(from: &iterator) {
      case .valid(let encoded):
        let scalar = Unicode.UTF8.decode(encoded)
        if standIns.contains(scalar.value) { append(encoded) } else { text.append(scalar) }
        remaining = remaining.dropFirst(encoded.count)
      case .error(let length):
        append(remaining.prefix(length))
        remaining = remaining.dropFirst(length)
      case .emptyInput: break parsing
      }
    }
    self = String(text)
  }

  /// The bytes that this string represents in a GGUF file.
  public var storedBytes: [UInt8] {
    guard hasStandIns else { return Array(utf8) }
    var bytes: [UInt8] = []
    for scalar in unicodeScalars {
      if standIns.contains(scalar.value) {
        bytes.append(UInt8(scalar.value - standIns.lowerBound + 0x80))
      } else {
        bytes.append(contentsOf: UTF8.encode(scalar) ?? Unicode.UTF8.encodedReplacementCharacter)
      }
    }
    return bytes
  }

  /// The string for people and text files: bytes that are not UTF-8 become U+FFFD.
  public var readable: String {
    guard hasStandIns else { return self }
    var text = String.UnicodeScalarView()
    for scalar in unicodeScalars { text.append(standIns.contains(scalar.value) ? "\u{FFFD}" : scalar) }
    return String(text)
  }

  /// The string that represents this string's UTF-8 in a GGUF file, for text from elsewhere that becomes metadata. It
  /// differs only where this string contains scalars that represent bytes.
  public var asStored: String { hasStandIns ? String(stored: utf8) : self }

  /// Whether any scalar represents a byte. In UTF-8 these scalars begin with F4 8F BA or F4 8F BB.
  package var hasStandIns: Bool {
    utf8.withContiguousStorageIfAvailable { bytes in
      var index = 0
      while index + 4 <= bytes.count {
        if bytes[index] == 0xF4, bytes[index + 1] == 0x8F, bytes[index + 2] & 0xFE == 0xBA { return true }
        index += 1
      }
      return false
    } ?? unicodeScalars.contains { standIns.contains($0.value) }
  }
}

/// The scalars that represent the bytes 0x80 to 0xFF.
private let standIns: ClosedRange<UInt32> = 0x10FE80...0x10FEFF

extension OrderedDictionary where Key == String, Value == MetadataValue {
  /// Metadata from elsewhere, with all strings as ``Swift/String/asStored``.
  public var asStored: Self {
    guard contains(where: { $0.key.hasStandIns || $0.value.hasStandIns }) else { return self }
    return Self(uniqueKeysWithValues: map { ($0.key.asStored, $0.value.asStored) })
  }
}

extension MetadataValue {
  fileprivate var hasStandIns: Bool {
    switch self {
    case .string(let text): text.hasStandIns
    case .array(.string(let texts)): texts.contains { $0.hasStandIns }
    default: false
    }
  }

  fileprivate var asStored: MetadataValue {
    switch self {
    case .string(let text): .string(text.asStored)
    case .array(.string(let texts)): .array(.string(texts.map(\.asStored)))
    default: self
    }
  }
}
