/// Values of files: little-endian, at any alignment.
extension FixedWidthInteger {
  /// The value of as many bytes as the type has, the lowest first.
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
  /// Appends an integer, its lowest byte first.
  @inlinable public mutating func append(littleEndian value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}

/// Reads values from bytes in order. Nothing is read beyond the end: what is missing gives nil, and the offset stays.
public struct ByteReader: Sendable {
  public let bytes: [UInt8]
  /// The index of the byte that is read next.
  public private(set) var offset: Int
  /// The index behind the last byte.
  public let end: Int

  public init(_ bytes: [UInt8]) { self.init(bytes, in: 0..<bytes.count) }

  public init(_ bytes: [UInt8], in range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "\(range) of \(bytes.count) bytes")
    self.bytes = bytes
    (offset, end) = (range.lowerBound, range.upperBound)
  }

  public var remaining: Int { end - offset }

  /// Continues at another index; false where there is no such byte, nor the end.
  public mutating func seek(to index: Int) -> Bool {
    guard index >= 0, index <= end else { return false }
    offset = index
    return true
  }

  /// The next `count` bytes.
  public mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard count >= 0, count <= remaining else { return nil }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  @inlinable public mutating func integer<T: FixedWidthInteger>(_: T.Type) -> T? {
    take(MemoryLayout<T>.size).map { T(littleEndian: $0) }
  }

  /// `count` integers, or nil where fewer remain.
  @inlinable public mutating func integers<T: FixedWidthInteger>(_: T.Type, count: Int) -> [T]? {
    let size = MemoryLayout<T>.size
    guard count >= 0, count <= remaining / size, let slice = take(count * size) else { return nil }
    return (0..<count).map { index in
      let start = slice.startIndex + index * size
      return T(littleEndian: slice[start..<start + size])
    }
  }
}
