import GGUF
import Tensors

/// The record of an importance matrix in a quantized file. It has base names only, since published files must not
/// contain local paths.
public struct ImportanceProvenance: Sendable, Equatable {
  public let file: String
  public let dataset: String
  let entries: Int
  let chunks: Int
  /// SHA-256 of the matrix, in hexadecimal.
  let fingerprint: String?

  /// - Parameters:
  ///   - file: the path of the matrix, of which the base name is kept.
  ///   - dataset: the names of the calibration texts, cut to 127 characters.
  ///   - entries: the number of tensors with importance.
  ///   - chunks: the number of windows of text.
  ///   - fingerprint: SHA-256 of the matrix, in hexadecimal; nil if unknown.
  public init(file: String, dataset: String, entries: Int, chunks: Int, fingerprint: String? = nil) {
    self.file = String(file.split(separator: "/").last ?? "")
    // llama.cpp reads at most 127 characters.
    self.dataset = String(dataset.prefix(127))
    self.entries = entries
    self.chunks = chunks
    self.fingerprint = fingerprint
  }
}

/// The record of the text of error feedback.
public struct FeedbackProvenance: Sendable, Equatable {
  public let dataset: String
  public let chunks: Int
  public let effort: Int
  /// The SHA-256 of the text's tokens, in hexadecimal.
  public let fingerprint: String
  /// The sections of layers, in each of which errors are fed on from the exact model's states.
  public let sections: Int

  public init(dataset: String, chunks: Int, effort: Int, fingerprint: String, sections: Int = 1) {
    self.dataset = String(dataset.prefix(127))
    self.chunks = chunks
    self.effort = effort
    self.fingerprint = fingerprint
    self.sections = sections
  }
}

/// The record of a quantized file's types and source, with which the file can be reproduced.
public struct RecipeProvenance: Sendable, Equatable {
  /// The recipe as YAML.
  public let recipe: String
  /// The source's fingerprint, in hexadecimal; nil if unknown.
  public let source: String?

  public init(recipe: String, source: String?) {
    self.recipe = recipe
    self.source = source
  }
}

extension ModelSource {
  /// The source's keys and those that a quantizer writes.
  public func outputMetadata(
    fileType: Int, importance: ImportanceProvenance?, feedback: FeedbackProvenance? = nil,
    recipe: RecipeProvenance? = nil
  ) -> Metadata {
    var metadata = self.metadata
    metadata["general.quantization_version"] = .uint32(2)
    metadata["general.file_type"] = .uint32(UInt32(fileType))
    // Keys about the quantization of the source do not apply to this file.
    for key in [
      "recipe", "evidence", "source.fingerprint", "imatrix.fingerprint", "feedback.dataset", "feedback.chunks_count",
      "feedback.effort", "feedback.fingerprint", "feedback.sections",
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
      if feedback.sections > 1 { metadata["quantize.feedback.sections"] = .uint32(UInt32(feedback.sections)) }
    }
    if let recipe {
      metadata["quantize.recipe"] = .string(recipe.recipe)
      if let source = recipe.source { metadata["quantize.source.fingerprint"] = .string(source) }
    }
    return metadata
  }
}

/// `general.file_type` of the stock mix whose base type most weights have.
public func nearestFileType(_ tensors: [TensorInfo]) -> Int {
  var weights: [GGMLType: Int] = [:]
  for tensor in tensors where tensor.isQuantizable { weights[tensor.exactType, default: 0] += tensor.shape.count }
  let commonest = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
  let named = StockMix.allCases.last { $0.base == commonest && !$0.rawValue.hasSuffix("_L") }
  return (named ?? .f16).fileType
}
