import Files

// The binary form of metadata values: a type id (u32), then the value; strings are a u64 length and UTF-8; arrays are
// an element type id, a u64 count and the elements. Source: the GGUF specification, version 3.

/// Type ids of metadata values.
enum MetadataType: UInt32 {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// The minimum number of bytes of a value, which bounds the count of an array before it is allocated.
  var minimumBytes: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }
}

extension HeaderReader {
  mutating func type(of subject: String) throws -> MetadataType {
    let start = offset
    let raw = try integer(UInt32.self, of: subject)
    guard let type = MetadataType(rawValue: raw) else {
      throw failure(subject, "has the unknown value type \(raw)", at: start)
    }
    return type
  }

  mutating func bool(of subject: String) throws -> Bool {
    let start = offset
    let raw = try integer(UInt8.self, of: subject)
    guard raw <= 1 else { throw failure(subject, "has the bool \(raw), which is neither 0 nor 1", at: start) }
    return raw == 1
  }

  mutating func value(of subject: String) throws -> MetadataValue {
    switch try type(of: subject) {
    case .uint8: .uint8(try integer(UInt8.self, of: subject))
    case .int8: .int8(try integer(Int8.self, of: subject))
    case .uint16: .uint16(try integer(UInt16.self, of: subject))
    case .int16: .int16(try integer(Int16.self, of: subject))
    case .uint32: .uint32(try integer(UInt32.self, of: subject))
    case .int32: .int32(try integer(Int32.self, of: subject))
    case .float32: .float32(Float(bitPattern: try integer(UInt32.self, of: subject)))
    case .bool: .bool(try bool(of: subject))
    case .string: .string(try string(of: subject))
    case .uint64: .uint64(try integer(UInt64.self, of: subject))
    case .int64: .int64(try integer(Int64.self, of: subject))
    case .float64: .float64(Double(bitPattern: try integer(UInt64.self, of: subject)))
    case .array: .array(try array(of: subject, depth: 1))
    }
  }

  /// Arrays of arrays are allowed but not in use; the limit of four levels bounds the recursion.
  mutating func array(of subject: String, depth: Int) throws -> MetadataArray {
    guard depth <= 4 else { throw failure(subject, "nests arrays deeper than 4") }
    let type = try type(of: subject)
    let count = try count(elementWidth: type.minimumBytes, of: subject)
    switch type {
    case .uint8: return .uint8(Array(try bytes(count, of: subject)))
    case .int8: return .int8(try integers(count, of: subject))
    case .uint16: return .uint16(try integers(count, of: subject))
    case .int16: return .int16(try integers(count, of: subject))
    case .uint32: return .uint32(try integers(count, of: subject))
    case .int32: return .int32(try integers(count, of: subject))
    case .uint64: return .uint64(try integers(count, of: subject))
    case .int64: return .int64(try integers(count, of: subject))
    case .float32:
      let bits: [UInt32] = try integers(count, of: subject)
      return .float32(bits.map(Float.init(bitPattern:)))
    case .float64:
      let bits: [UInt64] = try integers(count, of: subject)
      return .float64(bits.map(Double.init(bitPattern:)))
    case .bool: return .bool(try elements(count) { reader in try reader.bool(of: subject) })
    case .string: return .string(try elements(count) { reader in try reader.string(of: subject) })
    case .array: return .array(try elements(count) { reader in try reader.array(of: subject, depth: depth + 1) })
    }
  }

  private mutating func integers<T: FixedWidthInteger>(_ count: Int, of subject: String) throws -> [T] {
    try elements(count) { reader in try reader.integer(T.self, of: subject) }
  }

  private mutating func elements<T>(_ count: Int, _ read: (inout HeaderReader) throws -> T) rethrows -> [T] {
    var result: [T] = []
    result.reserveCapacity(count)
    for _ in 0..<count { result.append(try read(&self)) }
    return result
  }
}

/// Appends the binary form of metadata.
struct HeaderWriter {
  private(set) var bytes: [UInt8] = []

  mutating func append<T: FixedWidthInteger>(_ value: T) {
    bytes.append(littleEndian: value)
  }

  mutating func append(_ string: String) {
    if string.hasStandIns {
      let stored = string.storedBytes
      append(UInt64(stored.count))
      bytes.append(contentsOf: stored)
    } else {
      append(UInt64(string.utf8.count))
      bytes.append(contentsOf: string.utf8)
    }
  }

  mutating func append(_ value: MetadataValue) {
    func tag(_ type: MetadataType) { append(type.rawValue) }
    switch value {
    case .uint8(let x):
      tag(.uint8)
      append(x)
    case .int8(let x):
      tag(.int8)
      append(x)
    case .uint16(let x):
      tag(.uint16)
      append(x)
    case .int16(let x):
      tag(.int16)
      append(x)
    case .uint32(let x):
      tag(.uint32)
      append(x)
    case .int32(let x):
      tag(.int32)
      append(x)
    case .float32(let x):
      tag(.float32)
      append(x.bitPattern)
    case .bool(let x):
      tag(.bool)
      append(UInt8(x ? 1 : 0))
    case .string(let x):
      tag(.string)
      append(x)
    case .uint64(let x):
      tag(.uint64)
      append(x)
    case .int64(let x):
      tag(.int64)
      append(x)
    case .float64(let x):
      tag(.float64)
      append(x.bitPattern)
    case .array(let x):
      tag(.array)
      append(x)
    }
  }

  mutating func append(_ array: MetadataArray) {
    func head(_ type: MetadataType, _ count: Int) {
      append(type.rawValue)
      append(UInt64(count))
    }
    switch array {
    case .uint8(let x):
      head(.uint8, x.count)
      bytes.append(contentsOf: x)
    case .int8(let x):
      head(.int8, x.count)
      x.forEach { append($0) }
    case .uint16(let x):
      head(.uint16, x.count)
      x.forEach { append($0) }
    case .int16(let x):
      head(.int16, x.count)
      x.forEach { append($0) }
    case .uint32(let x):
      head(.uint32, x.count)
      x.forEach { append($0) }
    case .int32(let x):
      head(.int32, x.count)
      x.forEach { append($0) }
    case .float32(let x):
      head(.float32, x.count)
      x.forEach { append($0.bitPattern) }
    case .bool(let x):
      head(.bool, x.count)
      x.forEach { append(UInt8($0 ? 1 : 0)) }
    case .string(let x):
      head(.string, x.count)
      x.forEach { append($0) }
    case .uint64(let x):
      head(.uint64, x.count)
      x.forEach { append($0) }
    case .int64(let x):
      head(.int64, x.count)
      x.forEach { append($0) }
    case .float64(let x):
      head(.float64, x.count)
      x.forEach { append($0.bitPattern) }
    case .array(let x):
      head(.array, x.count)
      x.forEach { append($0) }
    }
  }
}
