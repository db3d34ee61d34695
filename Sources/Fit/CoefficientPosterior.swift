import Foundation
import GGUF

/// Coefficients from what is expected of them and what probes say, joined in logarithms.
///
/// For a tensor t of class c in layer l,
///
///     log coefficient(t) = m(t) + s + a(c) + b(l) + r(t)
///
/// with m the expectation from other models, s the common scale, and deviations a, b, r around zero. A probe of tensors T
/// that drifts by D says
///
///     log D - log sum over T of exp(m(t)) e(t)  =  s + a(c) + mean b(l) + mean r(t) + noise
///
/// where e is the error of the probe's type, and the means are weighted by exp(m) e. The noise is the standard error of D,
/// and what one type says of another. All but r are the solution of a ridge regression; r is a Student distribution, so
/// that a large deviation counts where it was measured well, and noise does not.
struct CoefficientPosterior {
  /// The constants of the joining.
  struct Policy {
    /// Standard deviation of a probe's logarithm beside its standard error: a probe's type is not the one that a tensor
    /// gets, and errors of several tensors do not quite add up: measured mixes of the
    /// demo model drift 10 to 30 % less than their sums say.
    var probeError = 0.2
    /// Relative standard error of probes that recorded none. Probes of the demo model on ten windows have 0.03 to
    /// 0.4; a table of an earlier version may come from fewer.
    var unknownError = 0.2
    /// A drift below this part of the median probe's counts as that part: a probe that shows nothing says that a tensor is
    /// worth little. Worths of classes differ by three decades (``Prior``).
    var leastDivergence = 1e-3
    /// The degrees of freedom of r. Residuals of the models behind ``Prior`` have a standard deviation three times their
    /// robust one.
    var freedom = 4.0
    /// Rounds of the iterations: changes are below a thousandth after some dozens.
    var sweeps = 100
  }

  private struct Observation {
    let name: String
    /// Indices into the entries.
    let tensors: [Int]
    /// The shares of the tensors in what is expected.
    let shares: [Double]
    let y: Double
    let variance: Double
    /// Index of the class.
    let kind: Int
  }

  private let policy: Policy
  private let expectations: [Expectation]
  private let names: [TensorName]
  /// The class of every entry, by index.
  private let kinds: [Int]
  private let kindCount: Int
  private var observations: [Observation] = []

  init(_ table: SensitivityTable, policy: Policy = Policy()) {
    self.policy = policy
    expectations = table.entries.map { $0.expectation ?? Expectation(log: 0, spread: Prior.widestSpread) }
    names = table.entries.map { TensorName($0.tensor) }
    var numbers: [String: Int] = [:]
    kinds = names.map { name in
      let number = numbers[name.layerClass] ?? numbers.count
      numbers[name.layerClass] = number
      return number
    }
    kindCount = numbers.count
    observations = observations(table)
  }

  private func observations(_ table: SensitivityTable) -> [Observation] {
    let indices = Dictionary(
      table.entries.enumerated().map { ($1.tensor, $0) }, uniquingKeysWith: { first, _ in first })
    let drifts = table.probes.map(\.divergence).sorted()
    let least = (drifts.isEmpty ? 0 : drifts[drifts.count / 2]) * policy.leastDivergence
    return table.probes.compactMap { probe in
      let tensors = probe.tensors.compactMap { indices[$0] }
      guard probe.error > 0, !tensors.isEmpty else { return nil }
      let expected = tensors.map { index in
        exp(expectations[index].log)
          * (table.entries[index].errors[probe.type] ?? probe.error / Double(probe.tensors.count))
      }
      let sum = expected.reduce(0, +)
      // Below its standard error, a drift says that it is no larger than that.
      let error = probe.standardError ?? policy.unknownError * probe.divergence
      let drift = max(probe.divergence, error, least)
      guard sum > 0, sum.isFinite, drift > 0 else { return nil }
      return Observation(
        name: probe.name, tensors: tensors, shares: expected.map { $0 / sum }, y: log(drift) - log(sum),
        variance: pow(error / drift, 2) + pow(policy.probeError, 2), kind: kinds[tensors[0]])
    }
  }

  /// The deviation of a single tensor from class and layer.
  private func residualVariance(_ index: Int) -> Double { pow(expectations[index].spread, 2) * Prior.tensorShare }

  /// The coefficients in the entries' order, in nats where there are probes.
  func coefficients() -> [Double] {
    guard !observations.isEmpty else { return expectations.map { exp($0.log) } }
    let layers = (names.compactMap(\.layer).max() ?? -1) + 1
    // The variance of r in an observation, which the Student distribution adapts.
    var residual = observations.map { one in
      zip(one.tensors, one.shares).reduce(0) { $0 + $1.1 * $1.1 * residualVariance($1.0) }
    }
    let base = residual
    var deviation = [Double](repeating: 0, count: observations.count)
    var (scale, byKind) = (0.0, [Double](repeating: 0, count: kindCount))
    var byLayer = [Double](repeating: 0, count: layers)
    func layerPart(_ one: Observation) -> Double {
      zip(one.tensors, one.shares).reduce(0) { $0 + $1.1 * (names[$1.0].layer.map { byLayer[$0] } ?? 0) }
    }
    for _ in 0..<policy.sweeps {
      let weights = zip(observations, residual).map { 1 / ($0.variance + $1) }
      // Each part in turn, given the others.
      var (above, below) = (0.0, 0.0)
      for (one, weight) in zip(observations, weights) {
        above += weight * (one.y - byKind[one.kind] - layerPart(one))
        below += weight
      }
      scale = above / below
      var kindSums = [(above: Double, below: Double)](repeating: (0, 0), count: kindCount)
      for (one, weight) in zip(observations, weights) {
        kindSums[one.kind].above += weight * (one.y - scale - layerPart(one))
        kindSums[one.kind].below += weight
      }
      for (index, kind) in kinds.enumerated() where kindSums[kind].below > 0 {
        let prior = 1 / (pow(expectations[index].spread, 2) * Prior.classShare)
        byKind[kind] = kindSums[kind].above / (kindSums[kind].below + prior)
      }
      var layerSums = [(above: Double, below: Double)](
        repeating: (0, 1 / pow(Prior.layerSpread, 2)), count: layers)
      for (one, weight) in zip(observations, weights) {
        let remainder = one.y - scale - byKind[one.kind] - layerPart(one)
        for (index, share) in zip(one.tensors, one.shares) {
          guard let layer = names[index].layer else { continue }
          layerSums[layer].above += weight * share * (remainder + share * byLayer[layer])
          layerSums[layer].below += weight * share * share
        }
      }
      for layer in 0..<layers {
        // Layers of one band move together: half a step keeps them from overshooting.
        byLayer[layer] += 0.5 * (layerSums[layer].above / layerSums[layer].below - byLayer[layer])
      }
      for (number, one) in observations.enumerated() {
        let remainder = one.y - scale - byKind[one.kind] - layerPart(one)
        deviation[number] = remainder * residual[number] / (residual[number] + one.variance)
        residual[number] =
          (policy.freedom * base[number] + deviation[number] * deviation[number]) / (policy.freedom + 1)
      }
    }
    var result = expectations.indices.map { index in
      expectations[index].log + scale + byKind[kinds[index]] + (names[index].layer.map { byLayer[$0] } ?? 0)
    }
    for (one, deviation) in zip(observations, deviation) {
      for index in one.tensors { result[index] += deviation }
    }
    return result.map { exp($0) }
  }
}

extension SensitivityTable {
  /// Gives every tensor the coefficient that its expectation and all probes make likely, and the name of its probe.
  package mutating func distribute() {
    var own: [String: String] = [:]
    for probe in probes { for tensor in probe.tensors { own[tensor] = probe.name } }
    let coefficients = CoefficientPosterior(self).coefficients()
    for index in entries.indices {
      entries[index].probe = own[entries[index].tensor]
      entries[index].coefficient = coefficients[index]
    }
  }
}
