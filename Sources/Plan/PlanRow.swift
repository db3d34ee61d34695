import GGUF
import Quantize
import Tensors

/// One mix of a plan: its size, whether it fits, and its speed.
public struct PlanRow: Sendable, Equatable {
  /// The origin of a row.
  public enum Kind: String, Sendable, Encodable {
    case stock, preset
    /// A requested size, to be filled by fitting.
    case target
    /// The file itself.
    case own
  }

  /// The name of the mix.
  public let name: String
  /// Bytes of the tensors in the file, each padded to the alignment.
  public let tensorBytes: Int
  /// Bytes of the whole file, with metadata.
  public let fileBytes: Int
  /// The mean number of bits per element.
  public let bitsPerWeight: Double
  /// Bytes of file, cache, activations and overhead.
  public let totalBytes: Int
  /// Whether ``totalBytes`` fit the machine.
  public let fits: Bool
  /// Tokens per second at the start of a context; nil if the machine's bandwidth is unknown.
  public let tokensPerSecond: Double?
  /// Tokens per second at the end of the context, where the cache of all tokens is read too.
  public let tokensPerSecondAtFullContext: Double?
  /// Programs that open the file; nil for a size without chosen types.
  public let compatibility: Compatibility?
  /// Whether the mix is useful only with an importance matrix.
  public let needsImportance: Bool
  /// Mean KL divergence as published for one model; nil if none is published.
  public let publishedDrift: Double?
  /// The origin of the row.
  public let kind: Kind
  /// Bytes of weights read per token.
  let readBytes: Int
}
