import Fit
import Foundation
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// Published tables and tables of other models.
@Suite struct ImportedEvidenceTests {
  private let layers = 8

  /// Errors and expectations as a model without a forward pass has them.
  private func base(layers: Int, model: String = "model") -> SensitivityTable {
    let names =
      ["token_embd.weight", "output.weight"]
      + (0..<layers).flatMap { ["blk.\($0).attn_k.weight", "blk.\($0).attn_v.weight", "blk.\($0).ffn_up.weight"] }
    var table = SensitivityTable(
      model: model, modelFingerprint: "", importanceFingerprint: nil, textFingerprint: "", types: [], probeTokens: 0,
      scoredPositions: 0, bands: 0, isComplete: true, probes: [],
      entries: names.map { name in
        var entry = SensitivityTable.Entry(
          tensor: name, dimensions: [256, 256], errors: ["IQ1_M": 0.2, "Q2_K": 0.05], probe: nil, coefficient: 1)
        entry.expectation = Expectation(log: 0, spread: 0.5)
        return entry
      })
    table.evidence = .prior
    table.distribute()
    return table
  }

  private func coefficient(_ tensor: String, _ table: SensitivityTable) throws -> Double {
    try #require(table.entries.first { $0.tensor == tensor }).coefficient
  }

  @Test func bothFormsAreRead() throws {
    let wide = try PublishedTable(
      text:
        "QTYPE,blk.0.attn_k.weight,blk.0.attn_v.weight,blk.1.attn_k.weight\niq1_m_r4,0.01,404,2%\niq2_ks,0.005,,0.01\n",
      file: "kld_results.csv")
    #expect(wide.values.map(\.divergence) == [0.01, 0.02, 0.005, 0.01] && wide.failures == 2)
    #expect(wide.values.map(\.type) == [.iq1_m, .iq1_m, .iq2_xxs, .iq2_xxs])
    #expect(wide.replaced == ["iq1_m_r4": .iq1_m, "iq2_ks": .iq2_xxs])
    let long = try PublishedTable(
      text: "tensor,type,kld\nblk.0.attn_k.weight,IQ1_M,0.01\nblk.1.attn_k.weight,iq1_bn,0.3\n", file: "a.csv")
    #expect(long.values.count == 1 && long.unknownTypes == ["iq1_bn"])
  }

  @Test(arguments: [
    "", "QTYPE,a.weight\n", "hello\nworld\n", "tensor,type,kld\na.weight,IQ1_M\n", "QTYPE,a.weight\nIQ1_M,1,2\n",
    "tensor,type,kld\na.weight,IQ1_M,404\n",
  ]) func otherFilesAreRefused(_ text: String) {
    #expect(throws: SensitivityError.self) { try PublishedTable(text: text, file: "a.csv") }
  }

  @Test(arguments: ["nan", "-0.1", "abc", "inf", "1e6"]) func impossibleValuesAreNamed(_ value: String) throws {
    let table = try PublishedTable(
      text: "tensor,type,kld\nblk.0.attn_k.weight,IQ1_M,0.1\nblk.1.attn_k.weight,IQ1_M,\(value)\n", file: "a.csv")
    let evidence = ImportedEvidence(table, joinedWith: base(layers: layers))
    #expect(
      throws: SensitivityError.unusableValues(
        file: "a.csv", count: 1, first: "line 3: tensor blk.1.attn_k.weight: \(value)")
    ) { try evidence.check(table, file: "a.csv") }
    #expect(table.values.count == 1)
  }

  /// A published divergence over this model's error, in one unit for all tensors, and the prior for those that it lacks.
  @Test func aPublishedTableGivesCoefficients() throws {
    let lines = (0..<layers).map { "blk.\($0).ffn_up.weight,IQ1_M,\($0 == 3 ? 0.4 : 0.1)" }
    let table = try PublishedTable(text: (["tensor,type,kld"] + lines).joined(separator: "\n"), file: "a.csv")
    let evidence = ImportedEvidence(table, joinedWith: base(layers: layers))
    try evidence.check(table, file: "a.csv")
    let (third, other) = (
      try coefficient("blk.3.ffn_up.weight", evidence.table), try coefficient("blk.4.ffn_up.weight", evidence.table)
    )
    // Weights of 1/0.12^2 and 1/0.5^2.
    let share = (0.5 * 0.5) / (0.5 * 0.5 + 0.12 * 0.12)
    #expect(abs(log(third / other) - share * log(4)) < 1e-9)
    #expect(try abs(coefficient("output.weight", evidence.table) / other - 1) < 1e-9)
    #expect(evidence.table.grade == .published && evidence.fit.missing.count == 2 + 2 * layers)
  }

  /// Tensors of a layer that repeat one value were measured together: each is worth a part of it.
  @Test func repeatedValuesAreShared() throws {
    func worth(_ values: [String]) throws -> Double {
      let lines = [
        "blk.0.attn_k.weight,IQ1_M,\(values[0])", "blk.0.attn_v.weight,IQ1_M,\(values[1])",
        "blk.1.attn_k.weight,IQ1_M,0.1", "blk.2.attn_k.weight,IQ1_M,0.1001", "blk.3.attn_k.weight,IQ1_M,0.1002",
      ]
      let table = try PublishedTable(text: (["tensor,type,kld"] + lines).joined(separator: "\n"), file: "a.csv")
      let joined = ImportedEvidence(table, joinedWith: base(layers: layers)).table
      return try coefficient("blk.0.attn_v.weight", joined) / coefficient("blk.2.attn_k.weight", joined)
    }
    let (together, apart) = (try worth(["0.2", "0.2"]), try worth(["0.2", "0.2001"]))
    #expect(abs(together - 1) < 0.05 && apart > 1.7, "\(together), \(apart)")
  }

  /// A divergence that all measurements contain is not worth: what remains counts, the less the nearer it is to nothing.
  @Test func theFloorOfATableIsSubtracted() throws {
    let layers = 32, floor = 0.0145
    let names = (0..<layers).flatMap { ["blk.\($0).attn_k.weight", "blk.\($0).attn_v.weight"] }
    // Log worths are spread evenly, so symmetrically.
    let worths = names.indices.map { exp(-8 + 4 * Double(($0 * 37) % names.count) / Double(names.count)) }
    func evidence(plus constant: Double) throws -> ImportedEvidence {
      let lines = zip(names, worths).map { "\($0),IQ1_M,\($1 + constant)" }
      let table = try PublishedTable(text: (["tensor,type,kld"] + lines).joined(separator: "\n"), file: "a.csv")
      return ImportedEvidence(table, joinedWith: base(layers: layers))
    }
    let without = try evidence(plus: 0), with = try evidence(plus: floor)
    let estimate = try #require(with.fit.floors["IQ1_M"])
    #expect(abs(estimate - floor) < 0.0005 && without.fit.floors.isEmpty)
    let order = worths.indices.sorted { worths[$0] < worths[$1] }
    func ratio(_ evidence: ImportedEvidence, _ high: Int, _ low: Int) throws -> Double {
      let table = evidence.table
      return try log(coefficient(names[order[high]], table) / coefficient(names[order[low]], table))
    }
    // With a floor in both measurements, most of the ratio is still seen.
    let largest = names.count - 1, middle = names.count * 3 / 4
    let exact = try ratio(without, largest, middle), seen = try ratio(with, largest, middle)
    #expect(seen > 0.5 * exact && seen < 1.2 * exact, "\(seen) of \(exact)")
    // Next to the floor, a measurement says little, and the prior keeps its value.
    let small = try ratio(with, 2, 1)
    #expect(abs(small) < 0.05)
  }

  @Test func tablesOfOtherModelsAreNamed() throws {
    let table = try PublishedTable(
      text:
        "tensor,type,kld\nblk.0.attn_k.weight,IQ1_M,0.1\nblk.9.attn_k.weight,IQ1_M,0.1\nblk.0.ssm_out.weight,IQ1_M,1\n",
      file: "a.csv")
    let evidence = ImportedEvidence(table, joinedWith: base(layers: layers))
    #expect(
      throws: SensitivityError.otherNames(
        file: "a.csv", model: "model", count: 2, of: 3, first: ["blk.0.ssm_out.weight", "blk.9.attn_k.weight"])
    ) { try evidence.check(table, file: "a.csv") }
  }

  /// By class and relative depth: twice as many layers get every value twice, interpolated between.
  @Test func aSiblingIsCarriedOver() throws {
    var sibling = base(layers: layers, model: "sibling")
    for index in sibling.entries.indices where sibling.entries[index].tensor.contains("ffn_up") {
      let layer = Double(TensorName(sibling.entries[index].tensor).layer ?? 0)
      sibling.entries[index].coefficient = 7 * exp(layer / 4)
    }
    let joined = ImportedEvidence(sibling: sibling, joinedWith: base(layers: 2 * layers))
    try joined.checkClasses(file: "s.json")
    let table = joined.table
    let weight = (1 / (0.33 * 0.33)) / (1 / (0.33 * 0.33) + 1 / (0.5 * 0.5))
    let (first, last) = (
      try coefficient("blk.4.ffn_up.weight", table), try coefficient("blk.12.ffn_up.weight", table)
    )
    // Depths 4.5/16 and 12.5/16 are layers 1.75 and 5.75 of eight.
    #expect(abs(log(last / first) - weight * 4 / 4) < 1e-9)
    #expect(table.grade == .sibling)
  }

  @Test func aSiblingWithOtherClassesIsNamed() {
    var sibling = base(layers: layers)
    sibling.entries.removeAll { $0.tensor.contains("attn_v") }
    let joined = ImportedEvidence(sibling: sibling, joinedWith: base(layers: layers))
    #expect(throws: SensitivityError.otherClasses(file: "s.json", model: "model", classes: ["attn_v"])) {
      try joined.checkClasses(file: "s.json")
    }
  }
}
