import Foundation
import GGUF

/// Coefficients from expectations and probes, joined in logarithms.
///
/// For a tensor t of class c in layer l,
///
///     log coefficient(t) = m(t) + s + a(c) + b(l) + r(t)
///
/// with m the expectation from other models, s the common scale, and deviations a, b, r around zero. A probe of tensors T
/// with drift D gives the equation
///
///     log D - log sum over T of exp(m(t)) e(t)  =  s + a(c) + mean b(l) + mean r(t) + noise
///
/// where e is the error of the probe's type, and the means are weighted by exp(m) e. The noise is the standard error of D
/// and the difference between types. All parts but r are the solution of a ridge regression. r has a Student distribution,
/// so that a large deviation counts where it was measured well, and noise does not.
struct CoefficientPosterior {
  /// The constants of the joining.
  struct Policy {
    /// Standard deviation of a probe's logarithm in addition to its standard error: a probe's type is not the one that a
    /// tensor gets, and errors of several tensors do not quite add up. Measured mixes of the demo model drift 10 to 30 %
    /// less than the sum of their costs.
    var probeError = 0.2
    /// Relative standard error of probes that recorded none. Probes of the demo model on ten windows have 0.03 to 0.4; a
    /// table of an earlier version may come from fewer windows.
    var unknownError = 0.2
    /// Minimum drift of a probe, relative to the median probe's: a probe without a measurable drift shows that a tensor is
    /// worth little. Worths of classes differ by three decades (``Prior``).
    var minimumDivergence = 1e-3
    /// Degrees of freedom of r. Residuals of the models behind ``Prior`` have a standard deviation three times their
    /// robust one.
    var freedom = 4.0
    /// Number of iterations: changes are below a thousandth after some dozens.
    var sweeps = 100
  }

  /// The equation of a probe.
  private struct Observation {
    /// Indices into the entries.
    let tensors: [Int]
    /// The weights of the tensors in the means; their sum is 1.
    let shares: [Double]
    /// The left side.
    let y: Double
    /// The variance of the noise.
    let variance: Double
    /// Index of the class.
    let kind: Int
  }

  /// The parts of all log coefficients but their expectations.
  private struct Parts {
    var scale = 0.0
    /// a, by index of the class.
    var byKind: [Double]
    /// b.
    var byLayer: [Double]
    /// The mean r of each observation, and its variance, which the Student distribution adapts.
    var deviations: [Double]
    var variances: [Double]
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
    let minimum = (drifts.isEmpty ? 0 : drifts[drifts.count / 2]) * policy.minimumDivergence
    return table.probes.compactMap { probe in
      let tensors = probe.tensors.compactMap { indices[$0] }
      guard probe.error > 0, !tensors.isEmpty else { return nil }
      let expected = tensors.map { index in
        exp(expectations[index].log)
          * (table.entries[index].errors[probe.type] ?? probe.error / Double(probe.tensors.count))
      }
      let sum = expected.reduce(0, +)
      // A drift below its standard error is known only to be no larger.
      let error = probe.standardError ?? policy.unknownError * probe.divergence
      let drift = max(probe.divergence, error, minimum)
      guard sum > 0, sum.isFinite, drift > 0 else { return nil }
      return Observation(
        tensors: tensors, shares: expected.map { $0 / sum }, y: log(drift) - log(sum),
        variance: pow(error / drift, 2) + pow(policy.probeError, 2), kind: kinds[tensors[0]])
    }
  }

  /// The prior variance of r.
  private func residualVariance(_ index: Int) -> Double { pow(expectations[index].spread, 2) * Prior.tensorShare }

  /// The coefficients in the entries' order, in nats where there are probes.
  func coefficients() -> [Double] {
    guard !observations.isEmpty else { return expectations.map { exp($0.log) } }
    let priorVariances = observations.map { one in
      zip(one.tensors, one.shares).reduce(0) { $0 + $1.1 * $1.1 * residualVariance($1.0) }
    }
    var parts = Parts(
      byKind: [Double](repeating: 0, count: kindCount),
      byLayer: [Double](repeating: 0, count: (names.compactMap(\.layer).max() ?? -1) + 1),
      deviations: [Double](repeating: 0, count: observations.count), variances: priorVariances)
    for _ in 0..<policy.sweeps {
      let weights = zip(observations, parts.variances).map { 1 / ($0.variance + $1) }
      // Each part in turn, given the others.
      fitScale(of: &parts, weights)
      fitKinds(of: &parts, weights)
      fitLayers(of: &parts, weights)
      fitDeviations(of: &parts, priorVariances)
    }
    var result = expectations.indices.map { index in
      expectations[index].log + parts.scale + parts.byKind[kinds[index]]
        + (names[index].layer.map { parts.byLayer[$0] } ?? 0)
    }
    for (one, deviation) in zip(observations, parts.deviations) {
      for index in one.tensors { result[index] += deviation }
    }
    return result.map { exp($0) }
  }

  /// The mean b of an observation.
  private func layerPart(_ one: Observation, _ parts: Parts) -> Double {
    zip(one.tensors, one.shares).reduce(0) { $0 + $1.1 * (names[$1.0].layer.map { parts.byLayer[$0] } ?? 0) }
  }

  private func fitScale(of parts: inout Parts, _ weights: [Double]) {
    var (above, below) = (0.0, 0.0)
    for (one, weight) in zip(observations, weights) {
      above += weight * (one.y - parts.byKind[one.kind] - layerPart(one, parts))
      below += weight
    }
    parts.scale = above / below
  }

  private func fitKinds(of parts: inout Parts, _ weights: [Double]) {
    var sums = [(above: Double, below: Double)](repeating: (0, 0), count: kindCount)
    for (one, weight) in zip(observations, weights) {
      sums[one.kind].above += weight * (one.y - parts.scale - layerPart(one, parts))
      sums[one.kind].below += weight
    }
    for (index, kind) in kinds.enumerated() where sums[kind].below > 0 {
      let prior = 1 / (pow(expectations[index].spread, 2) * Prior.classShare)
      parts.byKind[kind] = sums[kind].above / (sums[kind].below + prior)
    }
  }

  private func fitLayers(of parts: inout Parts, _ weights: [Double]) {
    var sums = [(above: Double, below: Double)](
      repeating: (0, 1 / pow(Prior.layerSpread, 2)), count: parts.byLayer.count)
    for (one, weight) in zip(observations, weights) {
      let remainder = one.y - parts.scale - parts.byKind[one.kind] - layerPart(one, parts)
      for (index, share) in zip(one.tensors, one.shares) {
        guard let layer = names[index].layer else { continue }
        sums[layer].above += weight * share * (remainder + share * parts.byLayer[layer])
        sums[layer].below += weight * share * share
      }
    }
    for layer in parts.byLayer.indices {
      // Layers of one band move together: half a step keeps them from overshooting.
      parts.byLayer[layer] += 0.5 * (sums[layer].above / sums[layer].below - parts.byLayer[layer])
    }
  }

  private func fitDeviations(of parts: inout Parts, _ priorVariances: [Double]) {
    for (number, one) in observations.enumerated() {
      let remainder = one.y - parts.scale - parts.byKind[one.kind] - layerPart(one, parts)
      let deviation = remainder * parts.variances[number] / (parts.variances[number] + one.variance)
      parts.deviations[number] = deviation
      parts.variances[number] =
        (policy.freedom * priorVariances[number] + deviation * deviation) / (policy.freedom + 1)
    }
  }
}

extension SensitivityTable {
  /// Sets the coefficient of every tensor from the expectations and all probes, and the name of its probe.
  package mutating func distribute() {
    var probeNames: [String: String] = [:]
    for probe in probes { for tensor in probe.tensors { probeNames[tensor] = probe.name } }
    let coefficients = CoefficientPosterior(self).coefficients()
    for index in entries.indices {
      entries[index].probe = probeNames[entries[index].tensor]
      entries[index].coefficient = coefficients[index]
    }
  }
}
