/// A part of a run that several processes share, such as the jobs of an array.
public struct RunPart: Sendable, Equatable, Codable, CustomStringConvertible {
  /// The number of the part, from 1.
  public let number: Int
  /// The number of parts.
  public let count: Int

  /// nil unless 1 <= number <= count.
  public init?(number: Int, count: Int) {
    guard count >= 1, (1...count).contains(number) else { return nil }
    (self.number, self.count) = (number, count)
  }

  public var description: String { "\(number)/\(count)" }

  /// All parts, in order.
  public static func all(_ count: Int) -> [RunPart] { (0..<count).map { RunPart(number: $0 + 1, count: count)! } }

  /// The indices of this part: consecutive, and in all parts as many, except for one.
  public func range(of total: Int) -> Range<Int> {
    (number - 1) * total / count..<number * total / count
  }

  /// The indices of this part, when the work of each is known: consecutive, with work of about an equal share.
  public func range(ofWork work: [Int]) -> Range<Int> {
    let total = work.reduce(0, +)
    // The index belongs to the part in whose share the middle of its work is.
    var before = 0
    var bounds = (first: work.count, end: work.count)
    for (index, one) in work.enumerated() {
      let part = total == 0 ? 1 : min(count, (2 * before + one) * count / (2 * total) + 1)
      if part >= number { bounds.first = min(bounds.first, index) }
      if part > number { bounds.end = min(bounds.end, index) }
      before += one
    }
    return bounds.first..<max(bounds.first, bounds.end)
  }
}
