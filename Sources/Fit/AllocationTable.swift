import Tensors

/// The minimum cost for every number of spare units of bytes: the exact solution of the knapsack, by dynamic programming
/// over the tensors.
///
/// Complexity: O(options × units) in time, O(tensors × units) in memory.
struct AllocationTable: Sendable {
  /// Bytes beyond the smallest option, by tensor and option.
  private let extras: [[Int]]
  /// The greatest common divisor of all extra bytes.
  private let unit: Int
  private let capacity: Int
  /// The option of each tensor, by the units available to it and all tensors before it.
  private let chosen: [[UInt8]]

  /// nil if the table would take too long, or no tensor has a choice.
  ///
  /// - Parameter spare: maximum bytes beyond the smallest options.
  init?(_ tensors: [[AllocationOption]], _ smallest: [Int], spare: Int, limit: Int) {
    func gcd(_ a: Int, _ b: Int) -> Int { b == 0 ? a : gcd(b, a % b) }
    extras = zip(tensors, smallest).map { options, start in options.map { $0.bytes - options[start].bytes } }
    unit = extras.joined().reduce(0, gcd)
    guard unit > 0, spare >= 0 else { return nil }
    // Units beyond every tensor's largest option are useless.
    let useful = extras.reduce(0) { $0 + ($1.max() ?? 0) }
    capacity = min(spare, useful) / unit
    let work = tensors.reduce(0.0) { [capacity] in $0 + Double($1.count) * Double(capacity + 1) }
    guard work <= Double(limit), tensors.allSatisfy({ $0.count < 256 }) else { return nil }
    var costs = [Double](repeating: 0, count: capacity + 1)
    var chosen: [[UInt8]] = []
    for (options, extra) in zip(tensors, extras) {
      var next = [Double](repeating: .infinity, count: capacity + 1)
      var choice = [UInt8](repeating: 0, count: capacity + 1)
      for (index, option) in options.enumerated() {
        let units = extra[index] / unit
        guard units <= capacity else { continue }
        for slot in units...capacity where costs[slot - units] + option.cost < next[slot] {
          next[slot] = costs[slot - units] + option.cost
          choice[slot] = UInt8(index)
        }
      }
      costs = next
      chosen.append(choice)
    }
    self.chosen = chosen
  }

  /// The option of every tensor for `spare` bytes beyond the smallest options.
  func choices(spare: Int) -> [Int] {
    var slot = min(capacity, spare / unit)
    var choices = [Int](repeating: 0, count: extras.count)
    for tensor in extras.indices.reversed() {
      choices[tensor] = Int(chosen[tensor][slot])
      slot -= extras[tensor][choices[tensor]] / unit
    }
    return choices
  }
}
