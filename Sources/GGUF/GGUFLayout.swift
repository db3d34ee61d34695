import Tensors

/// Where everything of a GGUF goes, known to the byte before anything is written.
public struct GGUFLayout: Sendable {
  /// The file's beginning: magic, keys, tensor directory, padding.
  public let header: [UInt8]
  /// Absolute offsets of the tensors' data, in their order.
  public let offsets: [Int]
  /// The whole file, with the padding behind its last tensor.
  public let totalBytes: Int
  public let tensors: [TensorInfo]
  public let alignment: Int
  /// The header without the padding at its end.
  public let unpaddedHeaderBytes: Int

  /// Where tensor data begins.
  public var dataOffset: Int { header.count }

  /// Tensors are laid in the given order; their rows must be whole blocks (a precondition).
  public init(metadata: Metadata, tensors: [TensorInfo]) {
    alignment = metadata.optionalInt("general.alignment") ?? defaultAlignment
    precondition(alignment > 0 && alignment & (alignment - 1) == 0, "alignment \(alignment)")
    var writer = HeaderWriter()
    writer.append(UInt32(0x4655_4747))  // GGUF
    writer.append(UInt32(3))
    writer.append(UInt64(tensors.count))
    writer.append(UInt64(metadata.count))
    for (key, value) in metadata {
      writer.append(key)
      writer.append(value)
    }
    var relative: [Int] = []
    var end = 0
    for tensor in tensors {
      guard let bytes = tensor.shape.bytes(as: tensor.type) else {
        preconditionFailure("\(tensor.name) \(tensor.shape) as \(tensor.type)")
      }
      writer.append(tensor.name)
      writer.append(UInt32(tensor.shape.dimensions.count))
      for dimension in tensor.shape.dimensions { writer.append(UInt64(dimension)) }
      writer.append(tensor.type.rawValue)
      writer.append(UInt64(end))
      relative.append(end)
      end += aligned(bytes, to: alignment)
    }
    var header = writer.bytes
    unpaddedHeaderBytes = header.count
    header.append(contentsOf: repeatElement(0, count: aligned(header.count, to: alignment) - header.count))
    self.header = header
    self.offsets = relative.map { $0 + header.count }
    self.totalBytes = header.count + end
    self.tensors = tensors
  }

  /// Bytes of a tensor's entry in the directory: name, rank, extents, type, offset.
  static func directoryBytes(_ tensor: TensorInfo) -> Int {
    8 + (tensor.name.hasStandIns ? tensor.name.storedBytes.count : tensor.name.utf8.count) + 4 + 8
      * tensor.shape.dimensions.count + 4 + 8
  }
}
