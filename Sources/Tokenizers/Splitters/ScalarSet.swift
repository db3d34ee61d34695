/// A set of characters that a pattern lists.
struct ScalarSet: Sendable {
  private let classes: CharacterClass
  /// One bit per character of the basic plane.
  private let basicPlane: [UInt64]
  private let ranges: [ClosedRange<UInt32>]

  /// Parses a bracket expression without its brackets: single characters and ranges such as `a-z`. A literal hyphen
  /// must come first.
  init(classes: CharacterClass = [], _ list: String) {
    self.classes = classes
    let scalars = list.unicodeScalars.map(\.value)
    var ranges: [ClosedRange<UInt32>] = []
    var index = 0
    while index < scalars.count {
      if index + 2 < scalars.count, scalars[index + 1] == 0x2D {
        ranges.append(scalars[index]...scalars[index + 2])
        index += 3
      } else {
        ranges.append(scalars[index]...scalars[index])
        index += 1
      }
    }
    self.ranges = ranges
    var bits = [UInt64](repeating: 0, count: 0x10000 / 64)
    for scalar in 0..<0x10000 as Range<UInt32>
    where CharacterClass(scalar).meets(classes) || ranges.contains(where: { $0.contains(scalar) }) {
      bits[Int(scalar >> 6)] |= 1 << UInt64(scalar & 63)
    }
    basicPlane = bits
  }

  func contains(_ scalar: UInt32) -> Bool {
    if scalar < 0x10000 { return basicPlane[Int(scalar >> 6)] >> UInt64(scalar & 63) & 1 == 1 }
    return CharacterClass(scalar).meets(classes) || ranges.contains { $0.contains(scalar) }
  }

  /// The end of a run of the set's characters that begins at `start`.
  func run(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    var end = start
    while end < limit, contains(text[end]) { end += 1 }
    return end
  }
}
