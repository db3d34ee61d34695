import GGUF
import TestSupport
import Testing
import Transformer

/// Metadata of GGUF files that requires a computation which the forward pass does not have.
@Suite(.serialized) struct UnsupportedValuesTests {
  private let small = RandomLlama()

  private func model(_ changes: [String: MetadataValue], scaling tensor: String = "", by factor: Float = 1)
    -> MemoryModel
  {
    let model = small.model()
    var metadata = model.metadata
    for (key, value) in changes { metadata["llama." + key] = value }
    return MemoryModel(
      metadata: metadata,
      tensors: model.tensors.map { info in
        let values = model.values(of: info.name)
        let scale = !tensor.isEmpty && info.name.contains(tensor) ? factor : 1
        return (name: info.name, shape: info.shape.dimensions, values: values.map { $0 * scale })
      })
  }

  private func logits(_ model: any ModelSource) throws -> [Float] {
    try allLogits(try ForwardPass(source: model).run(windows: small.windows(2, length: 24), scored: 0..<24))
  }

  static let refused: [(key: String, value: MetadataValue)] = [
    ("attention.causal", .bool(false)), ("attention.clamp_kqv", .float32(8)), ("attention.max_alibi_bias", .float32(8)),
    ("attention.scale", .float32(0.015625)), ("attn_logit_softcapping", .float32(50)),
    ("final_logit_softcapping", .float32(30)), ("logit_scale", .float32(0.0625)), ("residual_scale", .float32(0.25)),
    ("embedding_scale", .float32(12)), ("use_parallel_residual", .bool(true)), ("hidden_activation", .string("gelu")),
    ("expert_weights_norm", .bool(false)), ("expert_weights_scale", .float32(2.5)), ("expert_gating_func", .uint32(2)),
    ("expert_group_count", .uint32(4)), ("expert_shared_count", .uint32(1)), ("leading_dense_block_count", .uint32(1)),
    ("swiglu_clamp_exp", .array(.float32([0, 7]))), ("rope.scaling.type", .string("longrope")),
    ("rope.scaling.type", .string("dynamic")), ("rope.scaling.alpha", .float32(1000)),
    ("rope.scaling.yarn_beta_fast", .float32(16)), ("rope.scaling.yarn_beta_slow", .float32(2)),
    ("rope.scaling.yarn_ext_factor", .float32(0.5)), ("rope.scaling.yarn_log_multiplier", .float32(0.1)),
    ("attention.clamp_kqv", .float32(.nan)), ("attention.clamp_kqv", .string("8")),
  ]

  @Test(arguments: refused.indices) func aValueIsRefusedByKey(_ index: Int) throws {
    let (key, value) = Self.refused[index]
    let error = try #require(throws: ForwardError.self) { try ForwardPass(source: model([key: value])) }
    guard case .unsupportedValue("llama." + key, _, _) = error else {
      Issue.record("\(error)")
      return
    }
  }

  @Test func aYarnFactorThatRuntimesIgnoreIsRefused() throws {
    let yarn: [String: MetadataValue] = ["rope.scaling.type": .string("yarn"), "rope.scaling.factor": .float32(4)]
    for (factor, isKnown) in [(Float(1), true), (1.1386294, true), (1.4, false)] {
      let model = model(yarn.merging(["rope.scaling.yarn_attn_factor": .float32(factor)]) { $1 })
      #expect(((try? ForwardPass(source: model)) != nil) == isKnown, "\(factor)")
    }
  }

  /// Values that change nothing.
  @Test func neutralValuesAreAccepted() throws {
    let expected = try logits(model([:]))
    let neutral = model([
      "attention.causal": .bool(true), "attention.clamp_kqv": .float32(0), "logit_scale": .float32(1),
      "expert_weights_norm": .bool(true), "expert_weights_scale": .float32(0), "expert_group_count": .uint32(1),
      "swiglu_clamp_exp": .array(.float32([0, 0])), "hidden_activation": .string("silu"),
      "rope.scaling.yarn_beta_fast": .float32(32), "rope.scaling.yarn_ext_factor": .float32(1),
      "rope.scaling.type": .string("none"), "rope.scaling.factor": .float32(4),
    ])
    #expect(try logits(neutral) == expected)
  }

  /// The factor of cosines and sines multiplies queries and keys, so its square multiplies scores.
  @Test func attentionFactorScalesScores() throws {
    for type in ["none", "linear", "yarn"] {
      let rope: [String: MetadataValue] = ["rope.scaling.type": .string(type), "rope.scaling.factor": .float32(4)]
      let factor = rope.merging(["rope.scaling.attn_factor": .float32(1.25)]) { $1 }
      let expected = try logits(model(rope, scaling: "attn_q.weight", by: 1.5625)).map(Double.init)
      #expect(relativeDifference(try logits(model(factor)), expected) < 1e-5, "\(type)")
      #expect(relativeDifference(try logits(model(rope)), expected) > 1e-2, "\(type)")
    }
  }

  /// A factor without a type means linear scaling; files of 2023 have it under another key.
  @Test func aFactorWithoutATypeIsLinear() throws {
    let linear = try logits(
      model(["rope.scaling.type": .string("linear"), "rope.scaling.factor": .float32(4)]))
    for key in ["rope.scaling.factor", "rope.scale_linear"] {
      #expect(try logits(model([key: .float32(4)])) == linear)
    }
    #expect(relativeDifference(try logits(model([:])), linear.map(Double.init)) > 1e-2)
  }

  @Test func textsBeyondTheSlidingWindowAreRefused() throws {
    let pass = try ForwardPass(source: model(["attention.sliding_window": .uint32(16)]))
    #expect(pass.decoder.textLimit?.positions == 16)
    let expected = try ForwardPass(source: model([:])).run(windows: small.windows(2, length: 16), scored: 0..<16)
    let states = try pass.run(windows: small.windows(2, length: 16), scored: 0..<16)
    #expect(try allLogits(states) == allLogits(expected))
    #expect(
      throws: ForwardError.beyondSlidingWindow(key: "llama.attention.sliding_window", positions: 16, length: 17)
    ) { try pass.run(windows: small.windows(2, length: 17), scored: 0..<17) }
    #expect(try ForwardPass(source: model(["attention.sliding_window": .uint32(0)])).decoder.textLimit == nil)
  }
}
