/// Memory that inference needs in addition to weights and cache.
///
/// llama.cpp reserves one buffer for the largest step of its graph at 512 tokens per batch. With a state of `d` floats
/// per token, the largest step is one of
///
///     output      vocabulary + 2 d
///     dense       3 ffn + 5 d
///     experts     used (3 expert ffn + d) + 5 d
///     attention   heads (keys + values + queries) + 8 d, and the causal mask, 2 bytes per cell
///
/// This is 0 to 9 % more than the buffers that llama.cpp reports (with flash attention, its default on a GPU) for the
/// widths of Llama 70B and 405B and DeepSeek-Coder-V2 in both forms, at 4k to 128k tokens.
public struct WorkingMemory: Sendable, Equatable {
  /// Bytes of the graph's buffer.
  public let activations: Int
  /// Allowance in bytes for the program, its device context and command buffers.
  public let overhead = 512 << 20

  /// Bytes in all.
  package var total: Int { activations + overhead }

  static let batch = 512

  init(_ model: ModelDimensions, context: Int) {
    let d = model.width
    let output = model.vocabulary + 2 * d
    let dense = 3 * model.feedForward + 5 * d
    let experts = model.expertsUsed * (3 * model.expertFeedForward + d) + 5 * d
    let attention =
      if let latent = model.latent {
        latent.isExpanded
          ? model.heads * (3 * latent.key + 2 * latent.value) + 8 * d
          : model.heads * (latent.compressed + model.valueLength + latent.key) + 8 * d
      } else {
        model.heads * (2 * model.keyLength + model.valueLength) + 8 * d
      }
    let mask = 2 * KeyValueCache.cells(context)
    activations = Self.batch * max(4 * output, 4 * max(dense, experts, attention) + mask)
  }
}
