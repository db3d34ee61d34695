import GGUF
import Tensors

/// What a file says about the importance matrix it was made with. Base names only: a local path is nobody's business.
public struct ImportanceProvenance: Sendable, Equatable {
  public let file: String
  public let dataset: String
  public let entries: Int
  public let chunks: Int
  /// SHA-256 of its contents, in hexadecimal.
  public var fingerprint: String?

  public init(file: String, dataset: String, entries: Int, chunks: Int, fingerprint: String? = nil) {
    self.file = String(file.split(separator: "/").last ?? "")
    // llama.cpp reads at most 127 characters.
    self.dataset = String(dataset.prefix(127))
    self.entries = entries
    self.chunks = chunks
    self.fingerprint = fingerprint
  }
}

/// What a file says about the text by which rounding errors were fed back.
public struct FeedbackProvenance: Sendable, Equatable {
  public let dataset: String
  public let chunks: Int
  public let effort: Int
  /// SHA-256 of its tokens, in hexadecimal.
  public let fingerprint: String

  public init(dataset: String, chunks: Int, effort: Int, fingerprint: String) {
    self.dataset = String(dataset.prefix(127))
    self.chunks = chunks
    self.effort = effort
    self.fingerprint = fingerprint
  }
}

/// What a file says about how it was made: enough to make it again from the same source.
public struct RecipeProvenance: Sendable, Equatable {
  /// The recipe as text.
  public let recipe: String
  /// Of the source, in hexadecimal; nil where it is not known.
  public let source: String?

  public init(recipe: String, source: String?) {
    self.recipe = recipe
    self.source = source
  }
}

extension ModelSource {
  /// The source's keys with those that a quantizer writes.
  public func outputMetadata(
    fileType: Int, importance: ImportanceProvenance?, feedback: FeedbackProvenance? = nil,
    recipe: RecipeProvenance? = nil
  ) -> Metadata {
    var metadata = self.metadata
    metadata["general.quantization_version"] = .uint32(2)
    metadata["general.file_type"] = .uint32(UInt32(fileType))
    // What the source was made with is not what this file was made with.
    for key in [
      "recipe", "source.fingerprint", "imatrix.fingerprint", "feedback.dataset", "feedback.chunks_count",
      "feedback.effort", "feedback.fingerprint",
    ] {
      metadata.removeValue(forKey: "quantize.\(key)")
    }
    if let importance {
      metadata["quantize.imatrix.file"] = .string(importance.file)
      metadata["quantize.imatrix.dataset"] = .string(importance.dataset)
      metadata["quantize.imatrix.entries_count"] = .uint32(UInt32(importance.entries))
      metadata["quantize.imatrix.chunks_count"] = .uint32(UInt32(importance.chunks))
      if let fingerprint = importance.fingerprint { metadata["quantize.imatrix.fingerprint"] = .string(fingerprint) }
    }
    if let feedback {
      metadata["quantize.feedback.dataset"] = .string(feedback.dataset)
      metadata["quantize.feedback.chunks_count"] = .uint32(UInt32(feedback.chunks))
      metadata["quantize.feedback.effort"] = .uint32(UInt32(feedback.effort))
      metadata["quantize.feedback.fingerprint"] = .string(feedback.fingerprint)
    }
    if let recipe {
      metadata["quantize.recipe"] = .string(recipe.recipe)
      if let source = recipe.source { metadata["quantize.source.fingerprint"] = .string(source) }
    }
    return metadata
  }
}

/// The mix whose name comes nearest to a choice of types: by the type that most weights have.
public func nearestFileType(_ tensors: [TensorInfo]) -> Int {
  var weights: [GGMLType: Int] = [:]
  for tensor in tensors where tensor.isQuantizable { weights[tensor.exactType, default: 0] += tensor.shape.count }
  let most = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
  let named = StockMix.allCases.last { $0.base == most && !$0.rawValue.hasSuffix("_L") }
  return (named ?? .f16).fileType
}
