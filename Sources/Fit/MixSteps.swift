/// Chooses which steps from an incumbent mix to take together, from measurements of the single steps and an estimate of
/// their interactions.
///
/// A step (one group of tensors in another type) changes the logits of a position by D. If it is small, the divergence
/// that steps i and j cause together differs from the sum of their separate divergences by
///
///     c_ij = D_i' F D_j,    F = diag(q) - q q', q the incumbent's distribution,
///
/// which is the covariance of D_i and D_j over tokens drawn from q. The text's next tokens are such a sample: to first
/// order, a step changes the next token's loss by the mean of D minus D at that token. So the mean over positions of the
/// product of two steps' changes of the loss estimates c_ij, and every trial has the losses. An estimate within two
/// standard errors of zero counts as zero.
///
/// A local search for the set of minimum predicted drift within the bytes makes the best exchange of one, two or three
/// steps until none gains: a raise often needs two lowers to pay for it.
package struct MixSteps {
  package struct Step {
    package let group: Int
    /// Change of bytes, and of drift in nats, from the incumbent.
    package let bytes: Int
    package let change: Double
    /// The next token's loss minus the incumbent's, by position.
    package let losses: [Double]

    package init(group: Int, bytes: Int, change: Double, losses: [Double]) {
      self.group = group
      self.bytes = bytes
      self.change = change
      self.losses = losses
    }
  }

  package let steps: [Step]
  /// c_ij; 0 within a group, since at most one step of a group is taken.
  private let coupling: [[Double]]
  private let policy: StepsPolicy

  package init(_ steps: [Step]) { self.init(steps, policy: StepsPolicy()) }

  init(_ steps: [Step], policy: StepsPolicy) {
    self.steps = steps
    self.policy = policy
    var coupling = [[Double]](repeating: [Double](repeating: 0, count: steps.count), count: steps.count)
    let centred = steps.map { step in
      let mean = step.losses.reduce(0, +) / Double(max(1, step.losses.count))
      return step.losses.map { $0 - mean }
    }
    for i in steps.indices {
      for j in 0..<i where steps[i].group != steps[j].group {
        coupling[i][j] = Self.significant(centred[i], centred[j], errors: policy.significance)
        coupling[j][i] = coupling[i][j]
      }
    }
    self.coupling = coupling
  }

  /// The mean of the products, shrunk towards zero according to its standard error.
  private static func significant(_ a: [Double], _ b: [Double], errors: Double) -> Double {
    guard a.count > 1 else { return 0 }
    let count = Double(a.count)
    var (sum, squares) = (0.0, 0.0)
    for index in a.indices {
      let product = a[index] * b[index]
      sum += product
      squares += product * product
    }
    let mean = sum / count
    let variance = max(0, squares / count - mean * mean) / count
    return mean == 0 ? 0 : mean * max(0, 1 - errors * errors * variance / (mean * mean))
  }

  /// Predicted change of drift in nats if these steps are taken together.
  package func change(of set: [Int]) -> Double {
    set.reduce(0) { $0 + steps[$1].change }
      + set.enumerated().reduce(0) { sum, one in
        sum + set[..<one.offset].reduce(0) { $0 + coupling[one.element][$1] }
      }
  }

  private struct Move {
    let group: Int
    /// The steps taken in the group before and after; nil for none.
    let from: Int?
    let to: Int?
    let bytes: Int
    let change: Double
  }

  /// The steps to take, in ascending order.
  ///
  /// - Parameters:
  ///   - spare: maximum sum of their bytes.
  ///   - penalty: nats added to the cost of each step; fewer steps have a surer sum.
  package func best(spare: Int, penalty: Double) -> [Int] {
    let groups = (steps.map(\.group).max() ?? -1) + 1
    let members = (0..<groups).map { group in steps.indices.filter { steps[$0].group == group } }
    var taken = [Int?](repeating: nil, count: groups)
    var bytes = 0
    // Change by step, given the steps taken in other groups.
    var field = steps.map { $0.change + penalty }
    for _ in 0..<4 * groups {
      var moves: [Move] = []
      for group in 0..<groups {
        let from = taken[group]
        let (ownBytes, ownChange) = from.map { (steps[$0].bytes, field[$0]) } ?? (0, 0)
        for to in members[group] where to != from {
          moves.append(
            Move(
              group: group, from: from, to: to, bytes: steps[to].bytes - ownBytes, change: field[to] - ownChange))
        }
        if from != nil { moves.append(Move(group: group, from: from, to: nil, bytes: -ownBytes, change: -ownChange)) }
      }
      guard let chosen = bestExchange(of: moves, spare: spare - bytes) else { break }
      for move in chosen {
        taken[move.group] = move.to
        bytes += move.bytes
        for step in steps.indices {
          field[step] += (move.to.map { coupling[step][$0] } ?? 0) - (move.from.map { coupling[step][$0] } ?? 0)
        }
      }
    }
    return taken.compactMap { $0 }
  }

  private func bestExchange(of moves: [Move], spare: Int) -> [Move]? {
    var best: [Move]?
    var minimum = -1e-12
    func offer(_ set: @autoclosure () -> [Move], _ change: Double, _ bytes: Int) {
      guard change < minimum, bytes <= spare else { return }
      minimum = change
      best = set()
    }
    for move in moves { offer([move], move.change, move.bytes) }
    // Moves are sorted by their gain beyond the average price of a byte.
    let raises = moves.filter { $0.bytes > 0 && $0.change < 0 }
    let price = -raises.reduce(0) { $0 + $1.change } / Double(max(1, raises.reduce(0) { $0 + $1.bytes }))
    func worth(_ move: Move) -> Double { move.change + price * Double(move.bytes) }
    let sorted = moves.enumerated().sorted { (worth($0.element), $0.offset) < (worth($1.element), $1.offset) }
      .map(\.element)
    for (first, one) in sorted.enumerated() {
      for (second, two) in sorted[..<first].enumerated() where two.group != one.group {
        let change = one.change + two.change + cross(one, two)
        let bytes = one.bytes + two.bytes
        offer([one, two], change, bytes)
        guard first < policy.tripled else { continue }
        for three in sorted[..<second] where three.group != one.group && three.group != two.group {
          let total = bytes + three.bytes
          guard total <= spare else { continue }
          offer([one, two, three], change + three.change + cross(one, three) + cross(two, three), total)
        }
      }
    }
    return best
  }

  /// Interaction of two moves: their joint change minus the sum of the single changes.
  private func cross(_ one: Move, _ two: Move) -> Double {
    func pair(_ a: Int?, _ b: Int?) -> Double {
      guard let a, let b else { return 0 }
      return coupling[a][b]
    }
    return pair(one.to, two.to) - pair(one.to, two.from) - pair(one.from, two.to) + pair(one.from, two.from)
  }
}
