import Tensors

/// The header and all offsets of a GGUF file that is to be written.
public struct GGUFLayout: Sendable {
  /// The file's beginning: magic, keys, tensor directory, padding.
  public let header: [UInt8]
  /// Byte offsets of the tensors' data in the file, in the order of ``tensors``.
  package let offsets: [Int]
  /// Bytes of the file, with the padding after its last tensor.
  public let totalBytes: Int
  /// The tensors, in file order.
  public let tensors: [TensorInfo]
  /// The value of `general.alignment`, in bytes.
  public let alignment: Int
  /// Bytes of the header without the padding at its end.
  public let unpaddedHeaderBytes: Int

  /// The byte offset of the first tensor's data.
  package var dataOffset: Int { header.count }

  /// Lays out tensors in the given order; their rows must be whole blocks.
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

  /// Bytes of a tensor's entry in the directory: name, number of dimensions, dimensions, type, offset.
  static func directoryBytes(_ tensor: TensorInfo) -> Int {
    8 + (tensor.name.hasStandIns ? tensor.name.storedBytes.count : tensor.name.utf8.count) + 4 + 8
      * tensor.shape.dimensions.count + 4 + 8
  }
}
