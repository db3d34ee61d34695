import GGUF
import Quantize
import Tensors

/// Bytes of a file outside tensor data: keys, tokenizer, tensor directory, padding.
public struct MetadataSize: Sendable, Equatable {
  /// The origin of the number.
  public enum Kind: String, Sendable, Encodable {
    /// Laid out from the model's own keys.
    case exact
    /// Measured on published files of this model.
    case published
    /// Estimated from the vocabulary's size, if there is no tokenizer to measure.
    case estimated
  }

  /// Bytes of metadata in the file.
  public let bytes: Int
  /// The origin of ``bytes``.
  public let kind: Kind

  init(bytes: Int, kind: Kind) { (self.bytes, self.kind) = (bytes, kind) }

  /// - Parameter published: metadata bytes of the model's published files, if known.
  init(of model: any ModelSource, vocabulary: Int, published: Int?) {
    if model.metadata["tokenizer.ggml.tokens"] != nil {
      // No type changes the header's size: a type id has four bytes.
      let metadata = model.outputMetadata(fileType: 0, importance: nil)
      (bytes, kind) = (GGUFLayout(metadata: metadata, tensors: model.tensors).header.count, .exact)
    } else if let published {
      (bytes, kind) = (published, .published)
    } else {
      // A token is its text with 8 bytes of length, 4 of type and in SentencePiece 4 of score; a merge is two texts
      // with 9 bytes. Published files have 39 (Qwen 2.5), 41 (DeepSeek V3) and 61 (Llama 3) bytes an entry in all.
      let header = GGUFLayout(metadata: model.metadata, tensors: model.tensors).header.count
      (bytes, kind) = (header + vocabulary * (vocabulary > 40_000 ? 48 : 24), .estimated)
    }
  }
}
