// Integers as files store them: little-endian, at any alignment.

extension FixedWidthInteger {
  /// The integer whose bytes are given, lowest first; their number must be the type's size.
  @inlinable public init(littleEndian bytes: some Collection<UInt8>) {
    precondition(bytes.count == MemoryLayout<Self>.size, "\(bytes.count) bytes of \(Self.self)")
    self = 0
    var shift = 0
    for byte in bytes {
      self |= Self(truncatingIfNeeded: byte) << shift
      shift += 8
    }
  }
}

extension [UInt8] {
  /// Appends an integer's bytes, lowest first.
  @inlinable public mutating func append(littleEndian value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}

/// Reads values from bytes in order. A read beyond the end returns nil and does not move the offset.
public struct ByteReader: Sendable {
  /// The array that is read.
  public let bytes: [UInt8]
  /// The index of the next byte.
  public private(set) var offset: Int
  /// The index after the last byte.
  let end: Int

  /// A reader of all bytes.
  public init(_ bytes: [UInt8]) { self.init(bytes, in: 0..<bytes.count) }

  /// A reader of the bytes at the indices of `range`.
  public init(_ bytes: [UInt8], in range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "\(range) of \(bytes.count) bytes")
    self.bytes = bytes
    (offset, end) = (range.lowerBound, range.upperBound)
  }

  /// Bytes that are not read yet.
  public var remaining: Int { end - offset }

  /// Continues at another index; false where it is outside of `0...end`.
  public mutating func seek(to index: Int) -> Bool {
    guard index >= 0, index <= end else { return false }
    offset = index
    return true
  }

  /// The next `count` bytes; nil where fewer remain.
  public mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard count >= 0, count <= remaining else { return nil }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  /// The next integer; nil where too few bytes remain.
  @inlinable public mutating func integer<T: FixedWidthInteger>(_: T.Type) -> T? {
    take(MemoryLayout<T>.size).map { T(littleEndian: $0) }
  }

  /// The next `count` integers; nil where fewer remain.
  @inlinable public mutating func integers<T: FixedWidthInteger>(_: T.Type, count: Int) -> [T]? {
    let size = MemoryLayout<T>.size
    guard count >= 0, count <= remaining / size, let slice = take(count * size) else { return nil }
    return (0..<count).map { index in
      let start = slice.startIndex + index * size
      return T(littleEndian: slice[start..<start + size])
    }
  }
}
