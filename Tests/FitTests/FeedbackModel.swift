import GGUF
import Tensors
import TestSupport

/// A small llama of 256 columns, which K-quants take; with experts where they are asked for.
struct FeedbackModel {
  var layers = 2
  var experts = 0

  static let width = 256
  static let vocabulary = 48

  func model() -> MemoryModel {
    var random = SplitMix(seed: 11)
    let width = Self.width
    var tensors: [(name: String, shape: [Int], values: [Float])] = []
    func matrix(_ name: String, _ shape: [Int]) {
      tensors.append((name, shape, random.floats(shape.reduce(1, *), bound: 2 / Float(shape[0]).squareRoot())))
    }
    func norm(_ name: String) { tensors.append((name, [width], random.floats(width, bound: 0.5).map { 1 + $0 })) }
    matrix("token_embd.weight", [width, Self.vocabulary])
    for layer in 0..<layers {
      norm("blk.\(layer).attn_norm.weight")
      for name in ["q", "k", "v", "output"] { matrix("blk.\(layer).attn_\(name).weight", [width, width]) }
      norm("blk.\(layer).ffn_norm.weight")
      guard experts > 0 else {
        matrix("blk.\(layer).ffn_gate.weight", [width, 2 * width])
        matrix("blk.\(layer).ffn_up.weight", [width, 2 * width])
        matrix("blk.\(layer).ffn_down.weight", [2 * width, width])
        continue
      }
      tensors.append(("blk.\(layer).ffn_gate_inp.weight", [width, experts], router(&random)))
      matrix("blk.\(layer).ffn_gate_exps.weight", [width, width, experts])
      matrix("blk.\(layer).ffn_up_exps.weight", [width, width, experts])
      matrix("blk.\(layer).ffn_down_exps.weight", [width, width, experts])
    }
    norm("output_norm.weight")
    matrix("output.weight", [width, Self.vocabulary])
    var metadata: Metadata = [
      "general.architecture": .string("llama"), "llama.block_count": .uint32(UInt32(layers)),
      "llama.embedding_length": .uint32(UInt32(width)), "llama.feed_forward_length": .uint32(UInt32(2 * width)),
      "llama.attention.head_count": .uint32(4), "llama.attention.layer_norm_rms_epsilon": .float32(1e-5),
      "llama.context_length": .uint32(64),
    ]
    if experts > 0 {
      metadata["llama.feed_forward_length"] = .uint32(UInt32(width))
      metadata["llama.expert_count"] = .uint32(UInt32(experts))
      metadata["llama.expert_used_count"] = .uint32(1)
    }
    return MemoryModel(metadata: metadata, tensors: tensors)
  }

  /// The last expert's score is the mean of the others', so that it is never the best.
  private func router(_ random: inout SplitMix) -> [Float] {
    let width = Self.width
    let others = random.floats((experts - 1) * width, bound: 0.2)
    let mean = (0..<width).map { column in
      (0..<experts - 1).reduce(Float(0)) { $0 + others[$1 * width + column] } / Float(experts - 1)
    }
    return others + mean
  }

  func windows(_ count: Int) -> [[Int32]] {
    var random = SplitMix(seed: 5)
    return (0..<count).map { _ in
      (0..<16).map { _ in Int32.random(in: 0..<Int32(Self.vocabulary), using: &random) }
    }
  }
}
