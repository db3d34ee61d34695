import GGUF
import Tensors
import TestSupport

/// A small llama with four experts in every layer, of which a token uses two; and text for it.
enum RoutedLlama {
  static func model(layers: Int = 3) -> MemoryModel {
    var random = SplitMix(seed: 3)
    var tensors: [(name: String, shape: [Int], values: [Float])] = []
    func matrix(_ name: String, _ shape: [Int]) {
      tensors.append((name, shape, random.floats(shape.reduce(1, *), bound: 1 / Float(shape[0]).squareRoot())))
    }
    func norm(_ name: String) { tensors.append((name, [16], random.floats(16, bound: 0.2).map { 1 + $0 })) }
    matrix("token_embd.weight", [16, 20])
    for i in 0..<layers {
      norm("blk.\(i).attn_norm.weight")
      for name in ["q", "k", "v", "output"] { matrix("blk.\(i).attn_\(name).weight", [16, 16]) }
      norm("blk.\(i).ffn_norm.weight")
      matrix("blk.\(i).ffn_gate_inp.weight", [16, 4])
      matrix("blk.\(i).ffn_gate_exps.weight", [16, 8, 4])
      matrix("blk.\(i).ffn_up_exps.weight", [16, 8, 4])
      matrix("blk.\(i).ffn_down_exps.weight", [8, 16, 4])
    }
    norm("output_norm.weight")
    return MemoryModel(
      metadata: [
        "general.architecture": .string("llama"), "llama.block_count": .uint32(UInt32(layers)),
        "llama.embedding_length": .uint32(16), "llama.feed_forward_length": .uint32(8),
        "llama.attention.head_count": .uint32(2), "llama.attention.layer_norm_rms_epsilon": .float32(1e-5),
        "llama.expert_count": .uint32(4), "llama.expert_used_count": .uint32(2),
      ], tensors: tensors)
  }

  static let windows: [[Int32]] = (0..<3).map { (window: Int32) -> [Int32] in
    (0..<10).map { (position: Int32) -> Int32 in (position * 7 + window * 3) % 20 }
  }
}
