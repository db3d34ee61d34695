import Fit
import GGUF
import Imatrix
import Quantize
import Tensors
import TestSupport
import Testing
import Transformer

/// Two streams of one text: the exact model's, and that of its rounded form.
@Suite(.serialized) struct PairedPassTests {
  /// The second stream's inputs are those that the rounded model has alone, in every bit.
  @Test func theSecondStreamIsThatOfTheRoundedModel() throws {
    let source = FeedbackModel().model()
    let windows = FeedbackModel().windows(30)
    let types = Dictionary(
      uniqueKeysWithValues: source.tensors.filter { $0.shape.dimensions.count > 1 }.map { ($0.name, GGMLType.q4_K) })
    let rounded = MixedSource(base: source, types: types, importance: nil)
    let pass = try ForwardPass(source: source)
    #expect(pass.runsPairs)
    var found: [String: [Float]] = [:]
    var drifts: [String: Float] = [:]
    let pairs = PairCollector(workBytes: 0, wants: { _ in true }) { input in
      found[input.tensors[0]] = input.gram.values
      drifts[input.tensors[0]] = input.drift?.values.map(abs).max()
      #expect(
        (input.residual != nil)
          == ["attn_output.weight", "ffn_down.weight"].contains { input.tensors[0].hasSuffix($0) })
    }
    try pass.runPairs(windows: windows, rounded: [(rounded, pairs)])
    var expected: [String: [Float]] = [:]
    let single = GramCollector(tokens: 1 << 20, wantsOutput: true) { expected[$0.tensors[0]] = $0.gram.values }
    _ = try ForwardPass(source: rounded).run(windows: windows, scored: 0..<0, observer: single)
    try single.close()
    #expect(expected.count == 2 * 4 + 1)
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, values) in expected { #expect(found[name] == values, "\(name)") }
    #expect(drifts.values.allSatisfy { $0 > 0 })
  }

  @Test func streamsOfOneModelAgree() throws {
    let source = FeedbackModel().model()
    let pairs = PairCollector(workBytes: 0, wants: { _ in true }) { input in
      #expect(input.drift?.values.allSatisfy { $0 == 0 } == true)
      #expect(input.residual?.values.allSatisfy { $0 == 0 } != false)
    }
    try ForwardPass(source: source).runPairs(windows: FeedbackModel().windows(4), rounded: [(source, pairs)])
  }

  @Test func modelsWithExpertsRunNoPairs() throws {
    #expect(try !ForwardPass(source: FeedbackModel(experts: 4).model()).runsPairs)
  }
}
