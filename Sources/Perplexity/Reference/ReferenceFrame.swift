import Files

/// The encoding of consecutive positions of a compact reference, which are compressed together.
///
///     u16 tokens[n], u16 samples[n], f32 tail mass[n], f32 ln p of the target[n]
///     token ids of all rows, then of all samples: the first of a row, then differences, each as a varint
///     -ln p of all of them in units of 2^-18: all high bytes, all middle bytes, all low bytes
enum ReferenceFrame {
  static let rowsPerFrame = 64
  private static let fixedBytes = 12

  /// The maximum number of bytes of `rows` positions, which bounds decompression.
  static func bound(rows: Int, entriesPerRow: Int) -> Int { rows * (fixedBytes + entriesPerRow * 8) }

  static func encode(_ rows: [ReferenceRow]) -> [UInt8] {
    var bytes: [UInt8] = []
    for row in rows { bytes.append(littleEndian: UInt16(row.tokens.count)) }
    for row in rows { bytes.append(littleEndian: UInt16(row.sampleTokens.count)) }
    for row in rows { bytes.append(littleEndian: row.tailMass.bitPattern) }
    for row in rows { bytes.append(littleEndian: row.target.bitPattern) }
    for tokens in rows.map(\.tokens) + rows.map(\.sampleTokens) {
      var last: Int32 = 0
      for token in tokens {
        var remaining = UInt32(token - last)
        while remaining >= 128 {
          bytes.append(UInt8(truncatingIfNeeded: remaining) | 128)
          remaining >>= 7
        }
        bytes.append(UInt8(remaining))
        last = token
      }
    }
    let losses = rows.flatMap(\.losses) + rows.flatMap(\.sampleLosses)
    for shift in [16, 8, 0] as [UInt32] {
      for loss in losses { bytes.append(UInt8(truncatingIfNeeded: loss >> shift)) }
    }
    return bytes
  }

  /// Decodes `count` rows, or fails with the reason. `limit` is the maximum number of tokens kept per row.
  static func decode(
    _ bytes: [UInt8], rows count: Int, limit: Int, samples: Int, vocabulary: Int
  ) -> Result<[ReferenceRow], Malformed> {
    guard bytes.count >= count * fixedBytes else { return .failure(Malformed("a frame of \(bytes.count) bytes")) }
    var offset = 0
    func read<T: FixedWidthInteger>(_: T.Type) -> T {
      defer { offset += MemoryLayout<T>.size }
      return T(littleEndian: bytes[offset..<offset + MemoryLayout<T>.size])
    }
    let tokenCounts = (0..<count).map { _ in Int(read(UInt16.self)) }
    let sampleCounts = (0..<count).map { _ in Int(read(UInt16.self)) }
    var rows = [ReferenceRow](repeating: ReferenceRow(), count: count)
    for index in rows.indices { rows[index].tailMass = Float(bitPattern: read(UInt32.self)) }
    for index in rows.indices { rows[index].target = Float(bitPattern: read(UInt32.self)) }
    for index in rows.indices {
      guard (1...limit).contains(tokenCounts[index]), sampleCounts[index] <= samples else {
        return .failure(Malformed("a position with \(tokenCounts[index]) tokens, \(sampleCounts[index]) samples"))
      }
      guard rows[index].tailMass >= 0, rows[index].tailMass <= 1, rows[index].target <= 0, rows[index].target.isFinite
      else { return .failure(Malformed("a position with impossible probabilities")) }
    }
    func tokens(_ count: Int, strict: Bool) -> [Int32]? {
      var tokens: [Int32] = []
      var last = 0
      for index in 0..<count {
        var step = 0
        var shift = 0
        while true {
          guard offset < bytes.count, shift <= 28 else { return nil }
          step |= Int(bytes[offset] & 127) << shift
          offset += 1
          shift += 7
          if bytes[offset - 1] < 128 { break }
        }
        last += step
        guard last < vocabulary, !strict || index == 0 || step > 0 else { return nil }
        tokens.append(Int32(last))
      }
      return tokens
    }
    for index in rows.indices {
      guard let ids = tokens(tokenCounts[index], strict: true) else { return .failure(Malformed("bad token ids")) }
      rows[index].tokens = ids
    }
    for index in rows.indices {
      guard let ids = tokens(sampleCounts[index], strict: false) else { return .failure(Malformed("bad token ids")) }
      rows[index].sampleTokens = ids
    }
    let entries = tokenCounts.reduce(0, +) + sampleCounts.reduce(0, +)
    guard bytes.count - offset == 3 * entries else { return .failure(Malformed("a frame of the wrong length")) }
    func loss() -> UInt32 {
      defer { offset += 1 }
      return UInt32(bytes[offset]) << 16 | UInt32(bytes[offset + entries]) << 8 | UInt32(bytes[offset + 2 * entries])
    }
    for index in rows.indices { rows[index].losses = (0..<tokenCounts[index]).map { _ in loss() } }
    for index in rows.indices { rows[index].sampleLosses = (0..<sampleCounts[index]).map { _ in loss() } }
    return .success(rows)
  }

  struct Malformed: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }
}
