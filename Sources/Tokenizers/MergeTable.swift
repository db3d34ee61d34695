/// A hash table from pairs of tokens to their merge, with open addressing.
struct MergeTable: Sendable {
  struct Merge: Sendable {
    let rank: Int32
    let result: Int32
  }

  private var keys: [UInt64]
  private var merges: [Merge]
  private var count = 0
  /// The key of a free slot; as a pair of ids, both would be -1.
  private static let free = UInt64.max

  init(minimumCapacity: Int) {
    var size = 64
    while size < 2 * minimumCapacity { size *= 2 }
    keys = [UInt64](repeating: Self.free, count: size)
    merges = [Merge](repeating: Merge(rank: 0, result: 0), count: size)
  }

  subscript(left: Int32, right: Int32) -> Merge? {
    let slot = self.slot(Self.key(left, right))
    return keys[slot] == Self.free ? nil : merges[slot]
  }

  /// Inserts a merge unless the pair has one.
  ///
  /// - Precondition: the table has fewer entries than half its slots.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
    let key = Self.key(left, right)
    let slot = self.slot(key)
    guard keys[slot] == Self.free else { return }
    precondition(2 * count < keys.count, "a merge table of \(keys.count) slots is full")
    keys[slot] = key
    merges[slot] = merge
    count += 1
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func slot(_ key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 20) & (keys.count - 1)
    while keys[slot] != Self.free, keys[slot] != key { slot = (slot + 1) & (keys.count - 1) }
    return slot
  }
}
