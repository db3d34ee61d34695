import Blocks
import Tensors

/// A GGUF file, or the shards of one, as a model.
public final class GGUFFile: ModelSource {
  public let name: String
  /// The first shard's, without the keys that say how the model is split.
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  public let paths: [String]

  private struct Place {
    let tensor: TensorInfo
    let shard: Int
    let offset: Int
  }
  private let files: [PositionedFile]
  private let places: [String: Place]

  /// Opens a file, or all shards of a model by its first.
  public init(path: String) throws {
    let first = try PositionedFile(path: path)
    let header = try GGUFHeader(file: first)
    let paths = try ShardName.siblings(of: path, header: header)
    var files = [first]
    var headers = [header]
    for (index, path) in paths.enumerated().dropFirst() {
      let file = try PositionedFile(path: path)
      let header = try GGUFHeader(file: file)
      guard header.metadata.optionalInt("split.no") == index else {
        throw GGUFError(path: path, subject: "key split.no", "is not \(index), the number that the file name says")
      }
      files.append(file)
      headers.append(header)
    }
    var places: [String: Place] = [:]
    var tensors: [TensorInfo] = []
    for (shard, header) in headers.enumerated() {
      for (tensor, offset) in zip(header.tensors, header.offsets) {
        guard places.updateValue(Place(tensor: tensor, shard: shard, offset: offset), forKey: tensor.name) == nil else {
          throw GGUFError(path: paths[shard], subject: "tensor \(tensor.name)", "stands in another shard too")
        }
        tensors.append(tensor)
      }
    }
    if let expected = header.metadata.optionalInt("split.tensors.count"), expected != tensors.count {
      throw GGUFError(
        path: path, subject: "key split.tensors.count", "says \(expected), and the shards hold \(tensors.count) tensors"
      )
    }
    var metadata = header.metadata
    for key in ShardName.keys { metadata.removeValue(forKey: key) }
    self.metadata = metadata
    self.name = String(path.split(separator: "/").last ?? Substring(path))
    self.tensors = tensors
    self.paths = paths
    self.files = files
    self.places = places
  }

  public func tensor(named name: String) -> TensorInfo? { places[name]?.tensor }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    guard let place = places[tensor.name], let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else {
      preconditionFailure("\(name) has no tensor \(tensor.name)")
    }
    precondition(rows.upperBound <= tensor.shape.rows && output.byteCount == rows.count * rowBytes)
    try files[place.shard].read(into: &output, at: place.offset + rows.lowerBound * rowBytes)
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else {
      preconditionFailure("\(tensor.name) of ragged rows")
    }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try readBytes(of: tensor, rows: rows, into: &raw)
    decodeRows(bytes.span.bytes, as: tensor.type, into: &output)
  }
}
