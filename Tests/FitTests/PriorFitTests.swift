import Fit
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// A fit without a forward pass, of a model that has none.
@Suite struct PriorFitTests {
  private let model: MemoryModel

  /// Two layers of an unknown architecture, with uniform weights.
  init() {
    var random = SplitMix(seed: 11)
    var tensors: [(name: String, shape: [Int], values: [Float])] = []
    func add(_ name: String, _ shape: [Int]) {
      let count = shape.reduce(1, *)
      tensors.append((name, shape, (0..<count).map { _ in Float.random(in: -1...1, using: &random) }))
    }
    add("token_embd.weight", [256, 512])
    for layer in 0..<2 {
      add("blk.\(layer).attn_q.weight", [256, 256])
      add("blk.\(layer).attn_k_b.weight", [256, 128])
      add("blk.\(layer).ssm_alpha.weight", [256, 16])
      add("blk.\(layer).mystery.weight", [256, 256])
      add("blk.\(layer).ffn_up.weight", [256, 512])
      add("blk.\(layer).ffn_down.weight", [512, 256])
    }
    add("output.weight", [256, 512])
    model = MemoryModel(metadata: ["general.architecture": .string("novel")], tensors: tensors)
  }

  private func report(_ target: Int, pins: [String] = []) throws -> FitReport {
    var job = FitJob(of: model, target: target, text: nil, run: FitRun(version: "test"))
    job.constraints.pins = try pins.map { try TypeRule($0) }
    let report = try job.run(nil)
    let header = try job.header(nil, evidence: report.evidence)
    let plan = try header.plan(report.types(for: model))
    #expect(plan.totalBytes <= target && Double(plan.totalBytes) > 0.97 * Double(target), "\(plan.totalBytes)")
    #expect(header.evidence == "prior")
    return report
  }

  private func type(of tensor: String, in report: FitReport) throws -> GGMLType {
    let name = try #require(report.types[tensor])
    return try #require(GGMLType(name: name))
  }

  @Test func anyModelIsFittedWithoutAPass() throws {
    #expect(try FitJob.obstacle(to: model) != nil)
    let report = try report(560_000)
    #expect(report.evidence == .prior && !report.evidence.isMeasured && report.comparison == nil)
    #expect(report.unmeasuredClasses == ["mystery"])
    func bits(_ name: String) throws -> Double { try type(of: name, in: report).bitsPerWeight }
    // In two layers, a head is worth about ten times a matrix of the FFN of its size.
    let (output, query, up) = (
      try bits("output.weight"), try bits("blk.0.attn_q.weight"), try bits("blk.0.ffn_up.weight")
    )
    #expect(output > up + 1)
    // The smaller a tensor of about the same worth, the more bits.
    #expect(query >= up)
  }

  /// Errors do not depend on the size of a file: they are measured once for all jobs of a model.
  @Test func jobsShareErrors() throws {
    let priors = PriorTables()
    func rowsRead(_ body: () throws -> Void) rethrows -> Int {
      let before = model.rowReads.withLock { $0.values.reduce(0, +) }
      try body()
      return model.rowReads.withLock { $0.values.reduce(0, +) } - before
    }
    var reports: [FitReport] = []
    let counts = try [560_000, 430_000].map { target in
      try rowsRead {
        var job = FitJob(of: model, target: target, text: nil, run: FitRun(version: "test"))
        job.priors = priors
        reports.append(try job.run(nil))
      }
    }
    #expect(counts[0] > 0 && counts[1] == 0, "\(counts)")
    #expect(try reports.map(\.types) == [report(560_000).types, report(430_000).types])
  }

  @Test func floorsHoldUnlessPinned() throws {
    let report = try report(430_000)
    #expect(report.floors.map(\.type) == ["Q8_0", "Q5_K"])
    #expect(report.floors.map(\.classes) == [["ssm_alpha"], ["attn_k_b"]])
    for layer in 0..<2 {
      let alpha = try type(of: "blk.\(layer).ssm_alpha.weight", in: report)
      let key = try type(of: "blk.\(layer).attn_k_b.weight", in: report)
      #expect(alpha.bitsPerWeight >= 8 && key.bitsPerWeight > 5, "\(alpha), \(key)")
    }
    let pinned = try self.report(430_000, pins: ["ssm_alpha=Q4_0"])
    #expect(pinned.types["blk.0.ssm_alpha.weight"] == "Q4_0" && pinned.floors.map(\.type) == ["Q5_K"])
  }

  /// The types that a time is estimated for are those of a file of the target's size, without reading a weight.
  @Test func estimatesAreOfTheTypesToBe() throws {
    let types = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && !$0.needsImportance }
    var job = FitJob(of: model, target: 560_000, text: nil, run: FitRun(version: "test"))
    let expected = try #require(try job.expectedTypes(types))
    let size = try job.header(nil).plan(expected).totalBytes
    #expect(size <= 560_000 && size > 540_000, "\(size)")
    job.constraints.pins = [try TypeRule("mystery=Q8_0")]
    let pinned = try #require(try job.expectedTypes(types))
    #expect(zip(model.tensors, pinned).allSatisfy { !$0.name.contains("mystery") || $1 == .q8_0 })
    // No mean error is known of MXFP4: nothing is expected.
    #expect(try job.expectedTypes([.mxfp4]) == nil)
    #expect(try job.stages().map(\.stage) == [.errors, .encoding])
  }

  /// A floor that was asked for counts beside a model's own: the higher one of the two holds.
  @Test func theHigherFloorHolds() throws {
    var constraints = TypeConstraints()
    constraints.floors = [try TypeRule(".=Q4_0")]
    constraints.safeguards = ["blk.0.ssm_alpha.weight": .q8_0, "blk.1.ssm_alpha.weight": .q2_K]
    func menu(_ layer: Int) throws -> [GGMLType] {
      let tensor = try #require(model.tensor(named: "blk.\(layer).ssm_alpha.weight"))
      return constraints.menu(for: tensor, from: [.q2_K, .q4_0, .q8_0])
    }
    let (first, second) = (try menu(0), try menu(1))
    #expect(first == [.q8_0] && second == [.q4_0, .q8_0])
  }
}
