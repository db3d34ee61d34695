import GGUF
import Quantize
import Tensors

/// Bytes read per generated token, and the resulting tokens per second.
///
///     tokens per second = bandwidth x efficiency / bytes
///
/// Bytes are the weights (all of a dense model except the embedding, of which one row is read; the shared parts and the
/// active experts of a mixture of experts) and the cache of all previous tokens.
enum DecodeSpeed {
  /// Bytes of weights read per token.
  static func bytesPerToken(_ model: any ModelSource, types: [GGMLType], _ dimensions: ModelDimensions) -> Int {
    let isTied = model.tensor(named: "output.weight") == nil
    return zip(model.tensors, types).reduce(0) { sum, pair in
      let (tensor, type) = pair
      let bytes = tensor.shape.bytes(as: type) ?? 0
      if tensor.role == .tokenEmbedding, !isTied || tensor.name != "token_embd.weight" { return sum }
      guard dimensions.experts > 0, tensor.name.contains("_exps.") else { return sum + bytes }
      return sum + bytes / dimensions.experts * dimensions.expertsUsed
    }
  }

  /// Tokens per second; nil if the machine's bandwidth is unknown.
  static func tokensPerSecond(
    readingPerToken bytes: Int, of dimensions: ModelDimensions, on machine: Machine
  ) -> Double? {
    let efficiency = dimensions.experts > 0 ? machine.efficiency.experts : machine.efficiency.dense
    return bytes > 0 ? machine.bandwidth.map { $0 * efficiency / Double(bytes) } : nil
  }
}
