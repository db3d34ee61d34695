import Files
import Synchronization
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
    let tensors = model.tensors.sorted { $0.name < $1.name }
    var digest = Self.keys(of: model)
    for tensor in tensors { digest.update(tensor) }
    let structure = digest.hex()
    do { hex = try Self.hex(tensors, model) } catch let error as FileError where error.operation == .removed {
      guard let kept = Self.recorded.withLock({ $0[structure] }) else { throw error }
      hex = kept
      return
    }
    let hex = hex
    Self.recorded.withLock { $0[structure] = hex }
  }

  /// Fingerprints by structure: those that were computed, and those of models whose files are removed.
  private static let recorded = Mutex<[String: String]>([:])

  /// The fingerprints of this run by the models' structure, for the record of a model's removed files.
  public static var records: [String: String] { recorded.withLock { $0 } }

  /// Takes over the fingerprints that a record of removed files has. They serve where rows can no longer be read.
  public static func restore(_ records: [String: String]) { recorded.withLock { $0.merge(records) { $1 } } }

  /// A digest that has the architecture's keys.
  private static func keys(of model: any ModelSource) -> DataDigest {
    var hash = DataDigest()
    let architecture = model.metadata.optionalString("general.architecture") ?? ""
    hash.update(key: "general.architecture", .string(architecture))
    for key in model.metadata.keys.sorted() where key.hasPrefix(architecture + ".") {
      if let value = model.metadata[key] { hash.update(key: key, value) }
    }
    return hash
  }

  private static func hex(_ tensors: [TensorInfo], _ model: any ModelSource) throws -> String {
    var hash = keys(of: model)
    for start in stride(from: 0, to: tensors.count, by: Self.batch) {
      let part = tensors[start..<min(tensors.count, start + Self.batch)]
      // On all threads: each row may be a request to a server.
      let rows = Mutex([[UInt8]](repeating: [], count: part.count))
      try parallelRanges(part.count, grain: 1) { index, _ in
        let bytes = try Self.rows(of: part[part.startIndex + index], model)
        rows.withLock { $0[index] = bytes }
      }
      for (tensor, bytes) in zip(part, rows.withLock { $0 }) {
        hash.update(tensor)
        hash.update(bytes.span.bytes)
      }
    }
    return hash.hex()
  }

  /// Tensors whose rows are in memory together.
  private static let batch = 64

  /// The first, middle and last row of a tensor.
  private static func rows(of tensor: TensorInfo, _ model: any ModelSource) throws -> [UInt8] {
    let rows = tensor.shape.rows
    guard rows > 0, let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else { return [] }
    var all: [UInt8] = []
    for row in Set([0, rows / 2, rows - 1]).sorted() {
      var bytes = [UInt8](repeating: 0, count: rowBytes)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try model.readBytes(of: tensor, rows: row..<row + 1, into: &raw)
      all += bytes
    }
    return all
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
  fileprivate mutating func update(_ tensor: TensorInfo) {
    update(key: tensor.name, .array(.int64(tensor.shape.dimensions.map(Int64.init))))
    update(key: "type", .uint32(tensor.type.rawValue))
  }

  fileprivate mutating func update(key: String, _ value: MetadataValue) {
    var writer = HeaderWriter()
    writer.append(key)
    writer.append(value)
    update(writer.bytes.span.bytes)
  }
}
