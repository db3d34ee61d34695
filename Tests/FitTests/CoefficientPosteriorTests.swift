import Fit
import Foundation
import Tensors
import Testing

/// Coefficients from expectations and probes.
@Suite struct CoefficientPosteriorTests {
  private func table(_ expected: [(String, Double)], _ probes: [SensitivityTable.Probe]) -> SensitivityTable {
    var table = SensitivityTable(
      model: "m", modelFingerprint: "", importanceFingerprint: nil, textFingerprint: "", types: [], probeTokens: 0,
      scoredPositions: 0, bands: 1, isComplete: true, probes: probes,
      entries: expected.map { name, coefficient in
        var entry = SensitivityTable.Entry(
          tensor: name, dimensions: [32, 32], errors: ["Q3_K": 0.02], probe: nil, coefficient: 0)
        entry.expectation = Expectation(log: log(coefficient), spread: 0.3)
        return entry
      })
    table.distribute()
    return table
  }

  private func probe(_ tensors: [String], _ divergence: Double, error: Double = 0) -> SensitivityTable.Probe {
    SensitivityTable.Probe(
      name: tensors[0], tensors: tensors, type: "Q3_K", divergence: divergence, error: 0.02 * Double(tensors.count),
      standardError: error)
  }

  private func coefficients(_ table: SensitivityTable) -> [Double] { table.entries.map(\.coefficient) }

  private let names = (0..<8).map { "blk.\($0).ffn_up.weight" }

  @Test func withoutProbesTheExpectationIsTheCoefficient() {
    let found = coefficients(table([(names[0], 2), (names[1], 6)], []))
    #expect(abs(found[0] - 2) < 1e-12 && abs(found[1] - 6) < 1e-12)
  }

  /// Probes that agree with the expectations give the scale: here 5 nats for 1.
  @Test func probesGiveTheScale() {
    let expected = zip(names, [1.0, 2, 4, 1, 2, 4, 1, 2]).map { ($0, $1) }
    let table = table(expected, expected.prefix(6).map { probe([$0.0], 5 * $0.1 * 0.02) })
    for (found, (name, coefficient)) in zip(coefficients(table), expected) {
      #expect(abs(found - 5 * coefficient) < 1e-3 * coefficient, "\(name)")
    }
    #expect(table.entries.map(\.probe) == names.prefix(6).map { $0 } + [nil, nil])
  }

  /// One of eight tensors has ten times the drift of the others. This counts if it was measured well, and not if its standard
  /// error is as large as itself.
  @Test func anOutlierCountsByItsError() {
    func outlier(error: Double) -> Double {
      let found = coefficients(
        table(
          names.map { ($0, 1) },
          names.map { $0 == names[3] ? probe([$0], 0.2, error: error) : probe([$0], 0.02, error: 0.001) }))
      return found[3] / found[5]
    }
    #expect(outlier(error: 0.002) > 5)
    #expect(outlier(error: 0.2) < 1.3)
  }

  /// A probe without drift leaves its tensor a positive worth.
  @Test func nothingIsWorthZero() {
    let found = coefficients(
      table(names.map { ($0, 1) }, names.map { probe([$0], $0 == names[0] ? 0 : 0.02, error: 0.002) }))
    #expect(found[0] > 0 && found[0] < found[1])
    // The others do not follow it.
    #expect(abs(found[1] - 1) < 0.2)
  }

  /// The common part of classes and layers passes to a tensor without a probe.
  @Test func classesAndLayersShare() {
    let down = (0..<8).map { "blk.\($0).ffn_down.weight" }
    let expected = (names + down).map { ($0, 1.0) }
    // ffn_down is worth twice its expectation.
    let probes = names.map { probe([$0], 0.02) } + down.dropLast().map { probe([$0], 0.04) }
    let found = coefficients(table(expected, probes))
    #expect(found[15] / found[7] > 1.5 && found[15] / found[7] < 2.1)
  }

  /// The tensors of a band share the result of their probe, each by its own expectation.
  @Test func tensorsOfABandShareTheirProbe() {
    let expected = zip(names, [1.0, 3, 1, 3, 1, 3, 1, 3]).map { ($0, $1) }
    let found = coefficients(
      table(expected, [probe(Array(names[..<4]), 0.16), probe(Array(names[4...]), 0.16)]))
    #expect(abs(found[1] / found[0] - 3) < 0.01 && abs(found[0] - 1) < 0.01)
  }

  @Test func theStandardErrorIsThatOfWindows() {
    // Four windows of two positions: means 1, 2, 3, 6.
    let few = Probes.standardError([1, 1, 2, 2, 1, 5, 6, 6], of: 2)
    let expected = (14.0 / 4 / 3).squareRoot() * 3.0.squareRoot()
    #expect(abs(few - expected) < 1e-12, "\(few)")
  }
}
