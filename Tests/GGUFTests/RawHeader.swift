/// Builds a GGUF header, which may be malformed.
struct RawHeader {
  var bytes: [UInt8] = []

  mutating func append<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ string: String) {
    append(UInt64(string.utf8.count))
    bytes += string.utf8
  }

  init(magic: String = "GGUF", version: UInt32 = 3, tensors: UInt64, keys: UInt64) {
    bytes += magic.utf8
    append(version)
    append(tensors)
    append(keys)
  }

  /// Appends a key, the type id of its value, and the raw bytes of the value.
  mutating func key(_ name: String, type: UInt32, _ value: (inout RawHeader) -> Void) {
    append(name)
    append(type)
    value(&self)
  }

  mutating func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64, rank: UInt32? = nil) {
    append(name)
    append(rank ?? UInt32(dimensions.count))
    for dimension in dimensions { append(dimension) }
    append(type)
    append(offset)
  }

  /// Appends padding to 32 bytes, and data.
  mutating func data(_ count: Int) {
    while bytes.count % 32 != 0 { bytes.append(0) }
    bytes += [UInt8](repeating: 0, count: count)
  }
}

/// A malformed header, and the subject and text of its error.
struct Malformed: Sendable, CustomStringConvertible {
  let description: String
  let bytes: [UInt8]
  let subject: String?
  let says: String

  init(
    _ description: String, subject: String?, says: String, tensors: UInt64 = 0, keys: UInt64 = 0,
    magic: String = "GGUF", version: UInt32 = 3, data: Int = 0, _ build: (inout RawHeader) -> Void = { _ in }
  ) {
    var header = RawHeader(magic: magic, version: version, tensors: tensors, keys: keys)
    build(&header)
    if data > 0 { header.data(data) }
    self.description = description
    self.bytes = header.bytes
    self.subject = subject
    self.says = says
  }

  static let all: [Malformed] = [
    Malformed("magic", subject: nil, says: "not a GGUF file", magic: "GGML"),
    Malformed("version 1", subject: nil, says: "version 1", version: 1),
    Malformed("big-endian", subject: nil, says: "big-endian", version: 3 << 24),
    Malformed("tensor count beyond the file", subject: "tensor count", says: "more than", tensors: 1 << 40),
    Malformed("tensor count of all bits", subject: "tensor count", says: "more than", tensors: .max),
    Malformed("key count beyond the file", subject: "key count", says: "more than", keys: 1 << 62),
    Malformed("key longer than the file", subject: "key number 0", says: "more than", keys: 1) {
      $0.append(UInt64(1) << 60)
      $0.data(64)
    },
    Malformed("key twice", subject: "key a", says: "twice", keys: 2, data: 64) {
      $0.key("a", type: 0) { $0.append(UInt8(1)) }
      $0.key("a", type: 0) { $0.append(UInt8(1)) }
    },
    Malformed("unknown value type", subject: "key a", says: "unknown value type 13", keys: 1, data: 64) {
      $0.key("a", type: 13) { _ in }
    },
    Malformed("bool of 2", subject: "key a", says: "bool", keys: 1, data: 64) {
      $0.key("a", type: 7) { $0.append(UInt8(2)) }
    },
    Malformed("string longer than the file", subject: "key a", says: "more than", keys: 1, data: 64) {
      $0.key("a", type: 8) { $0.append(UInt64.max) }
    },
    Malformed("array longer than the file", subject: "key a", says: "more than", keys: 1, data: 64) {
      $0.key("a", type: 9) {
        $0.append(UInt32(6))
        $0.append(UInt64(1) << 61)
      }
    },
    Malformed("array of unknown type", subject: "key a", says: "unknown value type", keys: 1, data: 64) {
      $0.key("a", type: 9) {
        $0.append(UInt32(99))
        $0.append(UInt64(0))
      }
    },
    Malformed("arrays nested too deeply", subject: "key a", says: "deeper", keys: 1, data: 64) {
      $0.key("a", type: 9) {
        for _ in 0..<6 {
          $0.append(UInt32(9))
          $0.append(UInt64(1))
        }
      }
    },
    Malformed("alignment of 3", subject: "key general.alignment", says: "power of two", keys: 1, data: 64) {
      $0.key("general.alignment", type: 4) { $0.append(UInt32(3)) }
    },
    Malformed("alignment of 0", subject: "key general.alignment", says: "power of two", keys: 1, data: 64) {
      $0.key("general.alignment", type: 4) { $0.append(UInt32(0)) }
    },
    Malformed("alignment as string", subject: "key general.alignment", says: "power of two", keys: 1, data: 64) {
      $0.key("general.alignment", type: 8) { $0.append("32") }
    },
    Malformed("no dimensions", subject: "tensor t", says: "0 dimensions", tensors: 1, data: 64) {
      $0.tensor("t", [], offset: 0)
    },
    Malformed("five dimensions", subject: "tensor t", says: "5 dimensions", tensors: 1, data: 64) {
      $0.tensor("t", [1, 1, 1, 1, 1], offset: 0)
    },
    Malformed("shape overflows", subject: "tensor t", says: "impossible shape", tensors: 1, data: 64) {
      $0.tensor("t", [1 << 32, 1 << 32], offset: 0)
    },
    Malformed("bytes overflow", subject: "tensor t", says: "impossible shape", tensors: 1, data: 64) {
      $0.tensor("t", [1 << 62], offset: 0)
    },
    Malformed("rows overflow", subject: "tensor t", says: "impossible shape", tensors: 1, data: 64) {
      $0.tensor("t", [0, 1 << 40, 1 << 40], offset: 0)
    },
    Malformed("too many weights", subject: "tensor u", says: "than 4503599627370496 weights", tensors: 2, data: 64) {
      $0.tensor("t", [1 << 51], offset: 0)
      $0.tensor("u", [(1 << 51) + 1], offset: 1 << 53)
    },
    Malformed("dimension beyond 63 bits", subject: "tensor t", says: "impossible shape", tensors: 1, data: 64) {
      $0.tensor("t", [.max], offset: 0)
    },
    Malformed("unknown tensor type", subject: "tensor t", says: "unknown type 4", tensors: 1, data: 64) {
      $0.tensor("t", [32], type: 4, offset: 0)
    },
    Malformed("partial block", subject: "tensor t", says: "not whole Q8_0 blocks", tensors: 1, data: 64) {
      $0.tensor("t", [33], type: 8, offset: 0)
    },
    Malformed("tensor twice", subject: "tensor t", says: "twice", tensors: 2, data: 64) {
      $0.tensor("t", [4], offset: 0)
      $0.tensor("t", [4], offset: 32)
    },
    Malformed("unaligned offset", subject: "tensor t", says: "not a multiple of 32", tensors: 1, data: 64) {
      $0.tensor("t", [4], offset: 16)
    },
    Malformed("offset beyond the file", subject: "tensor t", says: "beyond", tensors: 1, data: 64) {
      $0.tensor("t", [4], offset: 64)
    },
    Malformed("offset overflows", subject: "tensor t", says: "beyond", tensors: 1, data: 64) {
      $0.tensor("t", [4], offset: .max - 31)
    },
    Malformed("data cut off", subject: "tensor t", says: "beyond", tensors: 1, data: 64) {
      $0.tensor("t", [17], offset: 0)
    },
    Malformed("overlap", subject: "tensor u", says: "overlaps tensor t", tensors: 2, data: 128) {
      $0.tensor("t", [16], offset: 0)
      $0.tensor("u", [4], offset: 32)
    },
  ]
}
