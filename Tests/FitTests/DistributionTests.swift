import Fit
import Tensors
import Testing

/// The distribution of probes' coefficients to tensors.
@Suite struct DistributionTests {
  private func table(_ tensors: [String], _ probes: [SensitivityTable.Probe]) -> SensitivityTable {
    var table = SensitivityTable(
      model: "m", modelFingerprint: "", importanceFingerprint: nil, textFingerprint: "", types: [], probeTokens: 0,
      scoredPositions: 0, bands: 1, isComplete: true, probes: probes,
      entries: tensors.map {
        SensitivityTable.Entry(tensor: $0, dimensions: [32, 32], errors: [:], probe: nil, coefficient: 0)
      })
    table.distribute()
    return table
  }

  private func probe(_ tensors: [String], _ divergence: Double, _ error: Double) -> SensitivityTable.Probe {
    SensitivityTable.Probe(
      name: tensors[0], tensors: tensors, type: "Q3_K", divergence: divergence, error: error)
  }

  private func coefficients(_ table: SensitivityTable) -> [String: Double] {
    Dictionary(uniqueKeysWithValues: table.entries.map { ($0.tensor, $0.coefficient) })
  }

  @Test func tensorsOfAProbeShareDivergenceOverError() {
    let names = ["blk.0.ffn_up.weight", "blk.1.ffn_up.weight"]
    let table = table(names, [probe(names, 0.06, 0.02)])
    #expect(coefficients(table) == [names[0]: 3, names[1]: 3])
    #expect(table.entries.map(\.probe) == [names[0], names[0]])
    // Rounding caused no error, so the cost is unknown.
    #expect(coefficients(self.table(names, [probe(names, 0.06, 0)])) == [names[0]: 0, names[1]: 0])
  }

  /// A tensor without a probe has the coefficient of the nearest layer of its class.
  @Test func theNearestLayerOfTheClassStandsIn() {
    let up = (0..<6).map { "blk.\($0).ffn_up.weight" }
    let found = coefficients(
      table(
        up + ["blk.4.attn_q.weight"],
        [probe([up[1]], 1, 1), probe([up[5]], 7, 1), probe(["blk.4.attn_q.weight"], 100, 1)]))
    #expect(up.map { found[$0] } == [1, 1, 1, 1, 7, 7])
  }

  /// A class without any probe has the mean of all; without probes all coefficients are equal.
  @Test func aClassWithoutProbesHasTheMean() {
    let names = ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "output.weight"]
    #expect(coefficients(table(names, [probe([names[0]], 1, 1), probe([names[1]], 4, 1)]))["output.weight"] == 2.5)
    #expect(coefficients(table(names, [])) == [names[0]: 1, names[1]: 1, names[2]: 1])
  }
}
