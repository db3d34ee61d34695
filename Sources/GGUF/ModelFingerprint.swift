import Files
import Tensors

/// A SHA-256 that distinguishes models without reading all of their data.
///
/// It covers the keys of the architecture (`llama.block_count`), every tensor's name, shape and type, and the bytes of
/// its first, middle and last row. It depends neither on the order of the tensors, nor on their distribution over
/// files, nor on texts about the model such as its name and authors.
public struct ModelFingerprint: Hashable, Sendable, Codable, CustomStringConvertible {
  /// 64 hexadecimal digits.
  public let hex: String

  /// Reads three rows of each tensor.
  public init(of model: any ModelSource) throws {
    var hash = DataDigest()
    let architecture = model.metadata.optionalString("general.architecture") ?? ""
    hash.update(key: "general.architecture", .string(architecture))
    for key in model.metadata.keys.sorted() where key.hasPrefix(architecture + ".") {
      if let value = model.metadata[key] { hash.update(key: key, value) }
    }
    for tensor in model.tensors.sorted(by: { $0.name < $1.name }) {
      hash.update(key: tensor.name, .array(.int64(tensor.shape.dimensions.map(Int64.init))))
      hash.update(key: "type", .uint32(tensor.type.rawValue))
      let rows = tensor.shape.rows
      guard rows > 0, let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else { continue }
      for row in Set([0, rows / 2, rows - 1]).sorted() {
        var bytes = [UInt8](repeating: 0, count: rowBytes)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try model.readBytes(of: tensor, rows: row..<row + 1, into: &raw)
        hash.update(bytes.span.bytes)
      }
    }
    hex = hash.hex()
  }

  public var description: String { hex }
}

extension ModelFingerprint {
  /// SHA-256 of a tokenizer's tokens and merges, in hexadecimal.
  public static func tokenizerDigest(of metadata: Metadata) -> String {
    var hash = DataDigest()
    for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
      if let value = metadata[key] { hash.update(key: key, value) }
    }
    return hash.hex()
  }
}

extension DataDigest {
  fileprivate mutating func update(key: String, _ value: MetadataValue) {
    var writer = HeaderWriter()
    writer.append(key)
    writer.append(value)
    update(writer.bytes.span.bytes)
  }
}
