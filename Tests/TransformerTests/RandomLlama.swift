import GGUF
import Tensors
import TestSupport

/// A small llama model with random weights.
struct RandomLlama {
  var layers = 2
  var width = 32
  var heads = 4
  var keyHeads = 2
  var inner = 48
  var vocabulary = 40
  var seed: UInt64 = 1

  var headLength: Int { width / heads }

  func model() -> MemoryModel {
    var random = SplitMix(seed: seed)
    var tensors: [(name: String, shape: [Int], values: [Float])] = []
    func matrix(_ name: String, _ columns: Int, _ rows: Int) {
      tensors.append((name, [columns, rows], random.floats(columns * rows, bound: 2 / Float(columns).squareRoot())))
    }
    func norm(_ name: String) { tensors.append((name, [width], random.floats(width, bound: 0.5).map { 1 + $0 })) }
    matrix("token_embd.weight", width, vocabulary)
    for i in 0..<layers {
      norm("blk.\(i).attn_norm.weight")
      matrix("blk.\(i).attn_q.weight", width, width)
      matrix("blk.\(i).attn_k.weight", width, keyHeads * headLength)
      matrix("blk.\(i).attn_v.weight", width, keyHeads * headLength)
      matrix("blk.\(i).attn_output.weight", width, width)
      norm("blk.\(i).ffn_norm.weight")
      matrix("blk.\(i).ffn_gate.weight", width, inner)
      matrix("blk.\(i).ffn_up.weight", width, inner)
      matrix("blk.\(i).ffn_down.weight", inner, width)
    }
    norm("output_norm.weight")
    matrix("output.weight", width, vocabulary)
    return MemoryModel(
      metadata: [
        "general.architecture": .string("llama"), "llama.block_count": .uint32(UInt32(layers)),
        "llama.embedding_length": .uint32(UInt32(width)), "llama.feed_forward_length": .uint32(UInt32(inner)),
        "llama.attention.head_count": .uint32(UInt32(heads)),
        "llama.attention.head_count_kv": .uint32(UInt32(keyHeads)),
        "llama.attention.layer_norm_rms_epsilon": .float32(1e-5), "llama.context_length": .uint32(64),
        "llama.rope.freq_base": .float32(10000),
      ], tensors: tensors)
  }

  func windows(_ count: Int, length: Int) -> [[Int32]] {
    var random = SplitMix(seed: seed + 100)
    return (0..<count).map { _ in (0..<length).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) } }
  }

  /// Logits [positions, vocabulary] of one window, computed by plain loops in double precision. The forward pass has to
  /// agree with them.
  func plainLogits(_ model: MemoryModel, _ tokens: [Int32]) -> [[Double]] {
    func weights(_ name: String) -> [Double] { model.values(of: name).map(Double.init) }
    func times(_ name: String, _ x: [Double]) -> [Double] {
      let w = weights(name)
      return (0..<w.count / x.count).map { r in (0..<x.count).reduce(0) { $0 + w[r * x.count + $1] * x[$1] } }
    }
    func normal(_ name: String, _ x: [Double]) -> [Double] {
      let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + 1e-5).squareRoot()
      return zip(x, weights(name)).map { $0 * scale * $1 }
    }
    func rotate(_ x: [Double], _ position: Int) -> [Double] {
      var y = x
      for head in 0..<x.count / headLength {
        for pair in 0..<headLength / 2 {
          let angle = Double(position) * power(10000, -2 * Double(pair) / Double(headLength))
          let i = head * headLength + 2 * pair
          y[i] = x[i] * cosine(angle) - x[i + 1] * sine(angle)
          y[i + 1] = x[i] * sine(angle) + x[i + 1] * cosine(angle)
        }
      }
      return y
    }
    let embedding = weights("token_embd.weight")
    var h = tokens.map { Array(embedding[Int($0) * width..<(Int($0) + 1) * width]) }
    for i in 0..<layers {
      let x = h.map { normal("blk.\(i).attn_norm.weight", $0) }
      let q = x.indices.map { rotate(times("blk.\(i).attn_q.weight", x[$0]), $0) }
      let k = x.indices.map { rotate(times("blk.\(i).attn_k.weight", x[$0]), $0) }
      let v = x.map { times("blk.\(i).attn_v.weight", $0) }
      for t in h.indices {
        var attended = [Double](repeating: 0, count: width)
        for head in 0..<heads {
          let qHead = head * headLength, kvHead = head / (heads / keyHeads) * headLength
          let scores = (0...t).map { s -> Double in
            let dot = (0..<headLength).reduce(0) { $0 + q[t][qHead + $1] * k[s][kvHead + $1] }
            return exponential(dot / Double(headLength).squareRoot())
          }
          let sum = scores.reduce(0, +)
          for s in 0...t { for j in 0..<headLength { attended[qHead + j] += scores[s] / sum * v[s][kvHead + j] } }
        }
        let output = times("blk.\(i).attn_output.weight", attended)
        for j in 0..<width { h[t][j] += output[j] }
        let y = normal("blk.\(i).ffn_norm.weight", h[t])
        let inner = zip(times("blk.\(i).ffn_gate.weight", y), times("blk.\(i).ffn_up.weight", y)).map {
          $0 / (1 + exponential(-$0)) * $1
        }
        let down = times("blk.\(i).ffn_down.weight", inner)
        for j in 0..<width { h[t][j] += down[j] }
      }
    }
    return h.map { times("output.weight", normal("output_norm.weight", $0)) }
  }
}
