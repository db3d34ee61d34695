import Blocks
import Files
import Tensors

/// A GGUF file, or the shards of one, as a model.
public final class GGUFFile: ModelSource {
  public let name: String
  /// The first shard's, without the keys that say how the model is split.
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  public let paths: [String]
  /// Shards that are not there, of a model that was opened for its header only.
  public let missingShards: Int

  private struct Place {
    let tensor: TensorInfo
    let shard: Int
    let offset: Int
  }
  private let files: [PositionedFile]
  private let places: [String: Place]

  /// Opens a file, or all shards of a model by its first.
  ///
  /// `headerOnly` accepts files whose tensor data is missing or cut off, and a first shard whose others are missing:
  /// what a plan needs before the download. Such a model's rows can't be read beyond what is there.
  ///
  /// - Throws: `FormatError` where a header is malformed or a shard is missing, `FileError` where a file can't be opened.
  public init(path: String, headerOnly: Bool = false) throws {
    let first = try PositionedFile(path: path)
    let header = try GGUFHeader(file: first, headerOnly: headerOnly)
    let all = try ShardName.siblings(of: path, header: header)
    var paths = [path]
    var files = [first]
    var headers = [header]
    for (index, path) in all.enumerated().dropFirst() {
      if FileIdentity(path: path) == nil {
        if headerOnly { continue }
        throw FormatError(
          path: path, subject: "key split.count", "is \(all.count), and this shard is not there",
          hint: "the download is incomplete: all shards lie in one folder")
      }
      let file = try PositionedFile(path: path)
      let header = try GGUFHeader(file: file, headerOnly: headerOnly)
      for (key, expected) in [("split.no", index), ("split.count", all.count)] {
        guard header.metadata.optionalInt(key) == expected else {
          throw FormatError(path: path, subject: "key \(key)", "is not \(expected), as the file's name says")
        }
      }
      paths.append(path)
      files.append(file)
      headers.append(header)
    }
    missingShards = all.count - paths.count
    var places: [String: Place] = [:]
    var tensors: [TensorInfo] = []
    for (shard, header) in headers.enumerated() {
      for (tensor, offset) in zip(header.tensors, header.offsets) {
        guard places.updateValue(Place(tensor: tensor, shard: shard, offset: offset), forKey: tensor.name) == nil else {
          throw FormatError(path: paths[shard], subject: "tensor \(tensor.name)", "stands in another shard too")
        }
        tensors.append(tensor)
      }
    }
    if missingShards == 0, let expected = header.metadata.optionalInt("split.tensors.count"), expected != tensors.count
    {
      throw FormatError(
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

  /// Bytes of all files.
  public var bytes: Int { files.reduce(0) { $0 + $1.size } }

  public func tensor(named name: String) -> TensorInfo? { places[name]?.tensor }

  /// The first shard.
  public var path: String { paths[0] }

  /// The file that holds a tensor of this model, and the byte where its data begins there.
  public func path(of tensor: TensorInfo) -> String { places[tensor.name].map { paths[$0.shard] } ?? path }
  public func offset(of tensor: TensorInfo) -> Int { places[tensor.name]?.offset ?? 0 }

  public func path(of tensor: TensorInfo) -> String? { places[tensor.name].map { paths[$0.shard] } }

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
    guard !tensor.type.isInteger else {
      throw FormatError(
        path: path(of: tensor), subject: "tensor \(tensor.name)", offset: offset(of: tensor),
        "holds integers (\(tensor.type)), where weights are wanted")
    }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try readBytes(of: tensor, rows: rows, into: &raw)
    decodeRows(bytes.span.bytes, as: tensor.type, into: &output)
  }
}
