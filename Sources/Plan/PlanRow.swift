import GGUF
import Quantize
import Tensors

/// One mix of a plan: its size, whether it fits, and its speed.
public struct PlanRow: Sendable, Equatable {
  public enum Kind: String, Sendable, Encodable {
    case stock, preset
    /// A requested size, to be filled by fitting.
    case target
    /// The file itself.
    case own
  }

  public let name: String
  /// Bytes of the tensors in the file, each padded to the alignment.
  public let tensorBytes: Int
  /// Bytes of the whole file, with metadata.
  public let fileBytes: Int
  public let bitsPerWeight: Double
  /// File, cache, activations and overhead together.
  public let totalBytes: Int
  public let fits: Bool
  /// Tokens per second at the start of a context and at its end, where the cache of all tokens is read too; nil if the
  /// machine's bandwidth is unknown.
  public let tokensPerSecond: Double?
  public let tokensPerSecondAtFullContext: Double?
  /// nil for a size without chosen types.
  public let compatibility: Compatibility?
  public let needsImportance: Bool
  /// Mean KL divergence as published for one model; nil if none is published.
  public let publishedDrift: Double?
  public let kind: Kind
  /// Bytes of weights read per token.
  let readBytes: Int
}
