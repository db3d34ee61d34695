/// What two neighbouring tokens merge into, and how early, by open addressing.
struct MergeTable: Sendable {
  struct Merge: Sendable {
    let rank: Int32
    let result: Int32
  }

  private var keys: [UInt64]
  private var merges: [Merge]
  private var count = 0
  /// No pair of ids: both would be -1.
  private static let free = UInt64.max

  init(minimumCapacity: Int) {
    var size = 64
    while size < 2 * minimumCapacity { size *= 2 }
    keys = [UInt64](repeating: Self.free, count: size)
    merges = [Merge](repeating: Merge(rank: 0, result: 0), count: size)
  }

  subscript(left: Int32, right: Int32) -> Merge? {
    let place = slot(Self.key(left, right))
    return keys[place] == Self.free ? nil : merges[place]
  }

  /// The first of equal pairs counts. There must be room: twice the capacity that was asked for.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
    let key = Self.key(left, right)
    let place = slot(key)
    guard keys[place] == Self.free else { return }
    precondition(2 * count < keys.count, "a merge table of \(keys.count) slots is full")
    keys[place] = key
    merges[place] = merge
    count += 1
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func slot(_ key: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 20) & (keys.count - 1)
    while keys[place] != Self.free, keys[place] != key { place = (place + 1) & (keys.count - 1) }
    return place
  }
}
