import GGUF
import Quantize
import Tensors

/// One way to write the model, and whether and how fast the result runs.
public struct PlanRow: Sendable, Equatable {
  public enum Kind: String, Sendable, Encodable {
    case stock, preset
    /// Of a size that was asked for, to be filled by measuring.
    case target
    /// The file that is planned for.
    case own
  }

  public let name: String
  /// Bytes of the tensors in the file, each padded to the alignment.
  public let tensorBytes: Int
  /// With metadata: the file.
  public let fileBytes: Int
  public let bitsPerWeight: Double
  /// File, cache, activations and overhead together.
  public let totalBytes: Int
  public let fits: Bool
  /// Tokens per second at the start of a context, and at its end, where every token before is read too; nil where the
  /// machine's bandwidth isn't known.
  public let tokensPerSecond: Double?
  public let tokensPerSecondAtFullContext: Double?
  /// nil for a size that no types were chosen for.
  public let compatibility: Compatibility?
  public let needsImportance: Bool
  /// Mean KL divergence as published for one model; nil where nobody did.
  public let publishedDrift: Double?
  public let kind: Kind
  /// Weights that a token reads.
  let readBytes: Int
}
