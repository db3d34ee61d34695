import GGUF
import Tensors

/// What a file says about the importance matrix it was made with. Base names only: a local path is nobody's business.
public struct ImportanceProvenance: Sendable, Equatable {
  public let file: String
  public let dataset: String
  public let entries: Int
  public let chunks: Int

  public init(file: String, dataset: String, entries: Int, chunks: Int) {
    self.file = String(file.split(separator: "/").last ?? "")
    // llama.cpp reads at most 127 characters.
    self.dataset = String(dataset.prefix(127))
    self.entries = entries
    self.chunks = chunks
  }
}

extension ModelSource {
  /// The source's keys with those that a quantizer writes.
  public func outputMetadata(fileType: Int, importance: ImportanceProvenance?) -> Metadata {
    var metadata = self.metadata
    metadata["general.quantization_version"] = .uint32(2)
    metadata["general.file_type"] = .uint32(UInt32(fileType))
    if let importance {
      metadata["quantize.imatrix.file"] = .string(importance.file)
      metadata["quantize.imatrix.dataset"] = .string(importance.dataset)
      metadata["quantize.imatrix.entries_count"] = .uint32(UInt32(importance.entries))
      metadata["quantize.imatrix.chunks_count"] = .uint32(UInt32(importance.chunks))
    }
    return metadata
  }
}

/// The mix whose name comes nearest to a choice of types: by the type that most weights have.
public func nearestFileType(_ tensors: [TensorInfo]) -> Int {
  var weights: [GGMLType: Int] = [:]
  for tensor in tensors where tensor.isQuantizable { weights[tensor.type, default: 0] += tensor.shape.count }
  let most = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
  let named = StockMix.allCases.last { $0.base == most && !$0.rawValue.hasSuffix("_L") }
  return (named ?? .f16).fileType
}
