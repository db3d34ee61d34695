import Tensors

/// A type that a tensor may get, with its bytes in the file and its cost in drift.
package struct AllocationOption: Sendable, Equatable {
  package let type: GGMLType
  package let bytes: Int
  package let cost: Double

  package init(type: GGMLType, bytes: Int, cost: Double) {
    self.type = type
    self.bytes = bytes
    self.cost = cost
  }
}

/// One option for every tensor, with the minimum sum of costs whose bytes fit a budget: the multiple-choice knapsack
/// problem.
///
/// If the sizes have a common unit that is coarse enough for a table of budgets, the solution is exact, by dynamic
/// programming. Otherwise a greedy walk along the lower convex hulls of the tensors' options starts from the smallest file
/// and takes the best gain per byte first; each of its points is a Lagrangian optimum. Single changes and exchanges of two
/// tensors, options off the hull included, then use up the remaining bytes.
///
/// Pure and deterministic: ties go to the first tensor and option.
package struct Allocation: Sendable, Equatable {
  /// The index of the chosen option of each tensor.
  package let choices: [Int]
  package let bytes: Int
  package let cost: Double

  /// nil if even the smallest options exceed the budget.
  package init?(_ tensors: [[AllocationOption]], budget: Int) {
    guard let allocation = AllocationSolver(tensors, upTo: budget).allocation(budget: budget) else { return nil }
    self = allocation
  }

  init(_ tensors: [[AllocationOption]], choices: [Int]) {
    self.choices = choices
    bytes = zip(tensors, choices).reduce(0) { $0 + $1.0[$1.1].bytes }
    cost = zip(tensors, choices).reduce(0) { $0 + $1.0[$1.1].cost }
  }
}

/// Allocations of one set of tensors for any budget up to a maximum. The table of budgets is built once.
package struct AllocationSolver: Sendable {
  private let tensors: [[AllocationOption]]
  /// The index of each tensor's smallest option.
  private let smallest: [Int]
  /// Sum of the bytes of the smallest options.
  package let minimumBytes: Int
  private let table: AllocationTable?

  package init(_ tensors: [[AllocationOption]], upTo budget: Int) {
    self.init(tensors, upTo: budget, tableLimit: 1 << 29)
  }

  /// - Parameter tableLimit: maximum additions of the exact solution.
  package init(_ tensors: [[AllocationOption]], upTo budget: Int, tableLimit: Int) {
    precondition(tensors.allSatisfy { !$0.isEmpty }, "a tensor without options")
    self.tensors = tensors
    smallest = tensors.map { options in
      options.indices.min { (options[$0].bytes, options[$0].cost, $0) < (options[$1].bytes, options[$1].cost, $1) } ?? 0
    }
    minimumBytes = zip(tensors, smallest).reduce(0) { $0 + $1.0[$1.1].bytes }
    table = AllocationTable(tensors, smallest, spare: budget - minimumBytes, limit: tableLimit)
  }

  /// The allocation for a budget; nil if even the smallest options exceed it.
  package func allocation(budget: Int) -> Allocation? {
    guard minimumBytes <= budget else { return nil }
    let choices =
      table?.choices(spare: budget - minimumBytes) ?? Self.lagrangian(tensors, smallest, budget: budget)
    return Allocation(tensors, choices: choices)
  }

  private static func lagrangian(_ tensors: [[AllocationOption]], _ smallest: [Int], budget: Int) -> [Int] {
    var choices = smallest
    var bytes = zip(tensors, choices).reduce(0) { $0 + $1.0[$1.1].bytes }
    var steps: [Step] = []
    for (tensor, options) in tensors.enumerated() {
      steps += hullSteps(options, from: choices[tensor]).map {
        Step(tensor: tensor, target: $0.target, slope: $0.slope)
      }
    }
    // Slopes of one tensor decrease, so that a stable sort by slope keeps its steps in order.
    let order = steps.indices.sorted { (-steps[$0].slope, $0) < (-steps[$1].slope, $1) }
    var blocked = Set<Int>()
    for index in order where !blocked.contains(steps[index].tensor) {
      let step = steps[index]
      let extra = tensors[step.tensor][step.target].bytes - tensors[step.tensor][choices[step.tensor]].bytes
      if bytes + extra <= budget {
        choices[step.tensor] = step.target
        bytes += extra
      } else {
        blocked.insert(step.tensor)
      }
    }
    closeGap(tensors, budget: budget, &choices, &bytes)
    return choices
  }

  private struct Step {
    let tensor: Int
    let target: Int
    /// Cost saved per byte.
    let slope: Double
  }

  /// The steps along the lower convex hull of (bytes, cost), upwards from option `start`.
  private static func hullSteps(_ options: [AllocationOption], from start: Int) -> [(target: Int, slope: Double)] {
    var steps: [(target: Int, slope: Double)] = []
    var current = start
    while true {
      var best: (target: Int, slope: Double)?
      for index in options.indices where options[index].bytes > options[current].bytes {
        let slope =
          (options[current].cost - options[index].cost) / Double(options[index].bytes - options[current].bytes)
        guard slope > 0 else { continue }
        // With equal slopes, the longer step wins.
        if let best,
          slope < best.slope || slope == best.slope && options[index].bytes <= options[best.target].bytes
        {
          continue
        }
        best = (index, slope)
      }
      guard let best else { return steps }
      steps.append(best)
      current = best.target
    }
  }

  /// Makes the best single change or exchange of two tensors that fits, until none gains.
  private static func closeGap(
    _ tensors: [[AllocationOption]], budget: Int, _ choices: inout [Int], _ bytes: inout Int
  ) {
    struct Change {
      let tensor: Int
      let target: Int
      let bytes: Int
      let gain: Double
    }
    // The number of rounds is bounded, and with it the time.
    for _ in 0..<4 * tensors.count + 16 {
      let slack = budget - bytes
      var raises: [Change] = []
      var lowers: [Change] = []
      for (tensor, options) in tensors.enumerated() {
        let now = options[choices[tensor]]
        for (target, option) in options.enumerated() where target != choices[tensor] {
          let change = Change(
            tensor: tensor, target: target, bytes: option.bytes - now.bytes, gain: now.cost - option.cost)
          if change.gain > 0 { raises.append(change) } else if change.bytes < 0 { lowers.append(change) }
        }
      }
      // A lower frees bytes at a cost. Lowers are sorted by freed bytes, each with the cheapest up to it, so that a raise
      // finds its partner by bisection.
      lowers.sort { ($0.bytes, -$0.gain, $0.tensor) < ($1.bytes, -$1.gain, $1.tensor) }
      var cheapest: [(first: Int, second: Int?)] = []
      for index in lowers.indices {
        var (first, second) = cheapest.last.map { ($0.first, $0.second) } ?? (index, nil)
        if lowers[index].gain > lowers[first].gain {
          if lowers[first].tensor != lowers[index].tensor { second = first }
          first = index
        } else if index != first, lowers[index].tensor != lowers[first].tensor,
          second.map({ lowers[index].gain > lowers[$0].gain }) ?? true
        {
          second = index
        }
        cheapest.append((first, second))
      }
      var best: (raise: Change, lower: Change?, gain: Double)?
      for raise in raises {
        if raise.bytes <= slack {
          if raise.gain > best?.gain ?? 0 { best = (raise, nil, raise.gain) }
          continue
        }
        // Partners that free enough bytes: a prefix of `lowers`.
        let lacking = raise.bytes - slack
        var (low, high) = (0, lowers.count)
        while low < high {
          let middle = (low + high) / 2
          if -lowers[middle].bytes >= lacking { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { continue }
        let candidates = [cheapest[low - 1].first, cheapest[low - 1].second].compactMap { $0 }
        for partner in candidates where lowers[partner].tensor != raise.tensor {
          let gain = raise.gain + lowers[partner].gain
          if gain > best?.gain ?? 0 { best = (raise, lowers[partner], gain) }
        }
      }
      guard let best, best.gain > 1e-15 else { return }
      for change in [best.raise, best.lower].compactMap({ $0 }) {
        choices[change.tensor] = change.target
        bytes += change.bytes
      }
    }
  }
}
