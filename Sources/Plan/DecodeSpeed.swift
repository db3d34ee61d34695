import GGUF
import Quantize
import Tensors

/// How many bytes a token reads, and what that makes in tokens per second.
///
///     tokens per second = bandwidth x efficiency / bytes
///
/// where bytes are all weights of a dense model but the embedding (one row of it), of a mixture of experts the shared
/// parts and the experts used, and the cache of all tokens before.
public enum DecodeSpeed {
  /// Bytes of weights that a token reads.
  public static func bytesPerToken(_ model: any ModelSource, types: [GGMLType], _ dimensions: ModelDimensions) -> Int {
    let isTied = model.tensor(named: "output.weight") == nil
    return zip(model.tensors, types).reduce(0) { sum, pair in
      let (tensor, type) = pair
      let bytes = tensor.shape.bytes(as: type) ?? 0
      if tensor.role == .tokenEmbedding, !isTied { return sum }
      guard dimensions.experts > 0, tensor.name.contains("_exps.") else { return sum + bytes }
      return sum + bytes / dimensions.experts * dimensions.expertsUsed
    }
  }

  /// Tokens per second; nil where the machine's bandwidth isn't known.
  public static func tokensPerSecond(
    readingPerToken bytes: Int, of dimensions: ModelDimensions, on machine: Machine
  ) -> Double? {
    let efficiency = dimensions.experts > 0 ? machine.efficiency.experts : machine.efficiency.dense
    return bytes > 0 ? machine.bandwidth.map { $0 * efficiency / Double(bytes) } : nil
  }
}
