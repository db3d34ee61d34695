import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors

/// Looks for a better mix than the allocation's by measuring: additivity fails at few bits, and coefficients have errors.
///
/// A candidate is the exact allocation under coefficients that were multiplied by random factors, per class and per
/// tensor, so that every candidate fits the target and differs in swaps of bytes that the model holds for plausible. A
/// round goes through successive halving: many candidates on little text, the best of them on more, and the last against
/// the incumbent on all of it.
public struct MixSearch {
  public struct Result: Sendable {
    public let types: [GGMLType]
    /// Mean divergence on the whole validation text, before and after.
    public let initial: Double
    public let final: Double
    public let trials: Int
    public let rounds: Int
  }

  public let trials: MixTrials
  public let windows: ScoringWindows
  /// The allocation for coefficients multiplied by factors, in the source's order; nil where nothing fits.
  public let allocate: ([Double]) throws -> [GGMLType]?
  public var seed: UInt64 = 1
  public var candidates = 8
  /// Seconds to search; a round that was begun is finished.
  public var budget: Double
  /// Rounds at most, and without a gain: trials gain little after the first. Without them, the result would depend on
  /// the machine's speed.
  public var roundLimit = 4
  public var patience = 2

  public init(
    trials: MixTrials, windows: ScoringWindows, budget: Double, allocate: @escaping ([Double]) throws -> [GGMLType]?
  ) {
    self.trials = trials
    self.windows = windows
    self.budget = budget
    self.allocate = allocate
  }

  /// Tokens of text that each stage of a round sees, and the part of its candidates that goes on.
  private var stages: [(windows: Int, kept: Int)] {
    let total = windows.windows.count
    let sizes = [2048, 16_384, 131_072].map { min(total, max(1, $0 / windows.context)) }
    return [(sizes[0], max(2, candidates / 3)), (sizes[1], 2), (max(sizes[2], min(total, sizes[1])), 1)]
  }

  public func run(from initial: [GGMLType], progress: (Int, Double) throws -> Void = { _, _ in }) throws -> Result {
    let tensors = trials.source.tensors
    var random = SearchRandom(state: seed)
    var factors = [Double](repeating: 1, count: tensors.count)
    var incumbent = initial
    var width = 0.5
    var idle = 0
    var count = 0
    var rounds = 0
    let whole = spread(stages[2].windows)
    let first = try trials.drifts(of: [initial], windows: whole)[0].mean
    var best = first
    let start = ContinuousClock.now
    while idle < patience, rounds < roundLimit, Double((ContinuousClock.now - start) / .seconds(1)) < budget {
      rounds += 1
      var field: [(types: [GGMLType], factors: [Double])] = []
      for _ in 0..<candidates * 4 where field.count < candidates {
        let own = perturbed(factors, tensors, width, &random)
        guard let types = try allocate(own), types != incumbent, !field.contains(where: { $0.types == types }) else {
          continue
        }
        field.append((types, own))
      }
      guard !field.isEmpty else { break }
      for stage in stages.prefix(2) where field.count > stage.kept {
        let drifts = try trials.drifts(of: field.map(\.types), windows: spread(stage.windows))
        count += field.count
        let order = field.indices.sorted { (drifts[$0].mean, $0) < (drifts[$1].mean, $1) }
        field = order.prefix(stage.kept).map { field[$0] }
        try progress(rounds, best)
      }
      let finals = try trials.drifts(of: field.map(\.types), windows: whole)
      count += field.count
      let winner = finals.indices.min { finals[$0].mean < finals[$1].mean }!
      // Less than a fifth of a percent is noise of the text.
      if finals[winner].mean < best * 0.998 {
        (incumbent, factors, best) = (field[winner].types, field[winner].factors, finals[winner].mean)
        idle = 0
      } else {
        idle += 1
        width *= 0.6
      }
      try progress(rounds, best)
    }
    return Result(types: incumbent, initial: first, final: best, trials: count, rounds: rounds)
  }

  /// Windows spread evenly over the text, so that little text has all kinds too.
  private func spread(_ count: Int) -> ScoringWindows {
    let total = windows.windows.count
    guard count < total else { return windows }
    return ScoringWindows(joining: (0..<count).map { windows[$0 * total / count..<$0 * total / count + 1] })
  }

  private func perturbed(
    _ factors: [Double], _ tensors: [TensorInfo], _ width: Double, _ random: inout SearchRandom
  ) -> [Double] {
    var classes: [String: Double] = [:]
    for name in Set(tensors.map(\.layerClass)).sorted() { classes[name] = random.normal() * width }
    // Half of the candidates move classes, half move tensors.
    let byClass = random.next() & 1 == 0
    return zip(factors, tensors).map { factor, tensor in
      factor * exp(byClass ? classes[tensor.layerClass]! + 0.3 * width * random.normal() : width * random.normal())
    }
  }
}

/// SplitMix64: the same candidates on every machine.
private struct SearchRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func normal() -> Double {
    let u = Double((next() >> 11) + 1) * 0x1p-53
    let v = Double(next() >> 11) * 0x1p-53
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }
}
