/// A hash table from byte strings to numbers, with open addressing. Unlike a dictionary of `String`, it distinguishes
/// precomposed and decomposed letters.
package struct ByteTable: Sendable {
  private var slots: [Int32]
  private var hashes: [UInt64] = []
  private var starts: [Int32] = [0]
  private var pool: [UInt8] = []
  private(set) var values: [Int32] = []

  package init(minimumCapacity: Int = 0) {
    var size = 64
    while size < 2 * minimumCapacity { size *= 2 }
    slots = [Int32](repeating: -1, count: size)
  }

  package var count: Int { values.count }
  /// Bytes of all keys.
  var byteCount: Int { pool.count }

  /// The number stored for `bytes[range]`.
  package func value(of bytes: [UInt8], in range: Range<Int>) -> Int32? {
    let entry = slots[slot(bytes, range, Self.hash(bytes, range))]
    return entry < 0 ? nil : values[Int(entry)]
  }

  package func value(of bytes: [UInt8]) -> Int32? { value(of: bytes, in: bytes.indices) }

  /// Stores a number for a new key, or returns the number of an existing one.
  @discardableResult
  package mutating func insert(_ bytes: [UInt8], in range: Range<Int>, value: Int32) -> Int32? {
    let hash = Self.hash(bytes, range)
    let slot = self.slot(bytes, range, hash)
    if slots[slot] >= 0 { return values[Int(slots[slot])] }
    slots[slot] = Int32(count)
    values.append(value)
    hashes.append(hash)
    pool.append(contentsOf: bytes[range])
    starts.append(Int32(pool.count))
    if 2 * count > slots.count { grow() }
    return nil
  }

  @discardableResult
  package mutating func insert(_ bytes: [UInt8], value: Int32) -> Int32? {
    insert(bytes, in: bytes.indices, value: value)
  }

  private mutating func grow() {
    slots = [Int32](repeating: -1, count: 2 * slots.count)
    for (entry, hash) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(entry)
    }
  }

  /// The slot of a key, or the free slot for it.
  private func slot(_ bytes: [UInt8], _ range: Range<Int>, _ hash: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] >= 0 {
      let entry = Int(slots[slot])
      if hashes[entry] == hash, matches(entry, bytes, range) { break }
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }

  private func matches(_ entry: Int, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    let start = Int(starts[entry])
    guard Int(starts[entry + 1]) - start == range.count else { return false }
    for offset in 0..<range.count where pool[start + offset] != bytes[range.lowerBound + offset] { return false }
    return true
  }

  /// FNV-1a, folded so that the low bits depend on all bits.
  private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
    return hash ^ hash >> 32
  }
}
