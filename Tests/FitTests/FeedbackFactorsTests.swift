import Blocks
import Fit
import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors
import TestSupport
import Testing
import Transformer

@Suite struct FeedbackFactorsTests {
  private let model = FeedbackModel().model()

  private func windows(_ count: Int = 6) throws -> ScoringWindows {
    ScoringWindows(windows: FeedbackModel().windows(count), scored: 8..<15)
  }

  private func feedback() throws -> FitFeedback {
    try FitFeedback(of: model, windows: try windows(), names: ["text"], effort: .scales) { !$0.contains("ffn_up") }
  }

  /// Feedback reduces what it is applied to: matrices of the pass in types that take it, and nothing else.
  @Test func onlyTensorsWithFeedbackCostLess() throws {
    let factors = FeedbackFactors(tensors: try feedback().tensors)
    let tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.name, $0) })
    func factor(_ name: String, _ type: GGMLType) throws -> Double {
      factors.factor(of: try #require(tensors[name]), as: type)
    }
    for type in GGMLType.allCases where type.takesFeedback {
      let measured = try #require(FeedbackFactors.measured[type], "\(type)")
      #expect(measured.factor > 0.1 && measured.factor < 0.9 && measured.spread > 0, "\(type)")
      for name in ["ffn_down", "attn_output"] {
        let expected = measured.factor * (try #require(FeedbackFactors.classes[name]))
        #expect(try factor("blk.0.\(name).weight", type) == min(1, expected), "\(type)")
      }
      #expect(try factor("output.weight", type) < 1)
      // Excluded, no product, and the source's type.
      #expect(try factor("blk.0.ffn_up.weight", type) == 1 && factor("token_embd.weight", type) == 1)
    }
    #expect(try factor("blk.0.ffn_down.weight", .mxfp4) == 1 && factor("blk.0.ffn_down.weight", .f32) == 1)
  }

  /// The allocation sees the errors that remain.
  @Test func optionsHaveTheRemainingErrors() throws {
    let windows = try windows()
    let table = try SensitivityRun(
      probes: Probes(source: model, importance: nil, windows: windows, options: ForwardOptions()),
      types: [.q2_K, .q4_K]
    ).run()
    let menus = TypeMenus(of: model, types: [.q2_K, .q4_K], hasImportance: false)
    let factors = FeedbackFactors(tensors: try feedback().tensors)
    let (plain, fed) = (
      table.options(menus, alignment: 32), table.options(menus, alignment: 32, feedback: factors)
    )
    var smaller = 0
    for (index, tensor) in model.tensors.enumerated() {
      for (a, b) in zip(plain[index], fed[index]) {
        #expect(a.type == b.type && a.bytes == b.bytes)
        #expect(b.cost == a.cost * factors.factor(of: tensor, as: a.type))
        if b.cost < a.cost { smaller += 1 }
      }
    }
    #expect(smaller > 10)
  }

  /// A file runs beside mixes as what it is, whatever types the mixes share with it.
  @Test func filesRunBesideMixes() throws {
    let windows = try windows()
    let mixes = [StockMix.q2_K, .q4_K_M].map { $0.types(for: model, hasImportance: false) }
    let directory = try TemporaryDirectory()
    let files = try mixes.enumerated().map { index, types in
      let path = directory.path("\(index).gguf")
      let plan = RewritePlan(source: model, types: types, metadata: model.metadata)
      _ = try Rewriter(plan).write(to: path, options: RewriteOptions())
      return try GGUFFile(path: path)
    }
    let trials = try MixTrials(
      source: model, importance: nil, options: ForwardOptions(),
      feedback: FeedbackFactors(tensors: try feedback().tensors))
    let drifts = try trials.drifts(of: mixes, beside: files, windows: windows, progress: NoObserver())
    let plain = try MixTrials(source: model, importance: nil, options: ForwardOptions()).drifts(
      of: mixes, windows: windows)
    #expect(drifts.count == 4)
    for index in mixes.indices {
      #expect(abs(drifts[index].mean - plain[index].mean) < 1e-4 * plain[index].mean)
      // The mix is estimated with feedback.
      #expect(drifts[2 + index].mean < 0.9 * plain[index].mean)
    }
  }
}
