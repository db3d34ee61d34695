import Blocks
import Files
import Tensors

/// A model in a GGUF file or in shards.
public final class GGUFFile: ModelSource {
  public let name: String
  /// The metadata of the first shard, without the `split.` keys.
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  /// The paths of the file or of all shards that exist, in their order.
  public let paths: [String]
  /// The number of missing shards of a model that was opened with `headerOnly`.
  public let missingShards: Int

  private struct Location {
    let tensor: TensorInfo
    let shard: Int
    let offset: Int
  }
  private let files: [PositionedFile]
  private let locations: [String: Location]

  /// Opens a file, or all shards of a model.
  ///
  /// - Parameters:
  ///   - path: the file or the first shard.
  ///   - headerOnly: accepts a file whose tensor data is missing or cut off, and missing shards other than the first.
  ///     Missing rows can't be read.
  /// - Throws: `FormatError` where a header is malformed or a shard is missing, `FileError` where a file can't be
  ///   opened.
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
          path: path, subject: "key split.count", "is \(all.count), but this shard is missing",
          hint: "the download is incomplete: all shards belong in one folder")
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
    var locations: [String: Location] = [:]
    var tensors: [TensorInfo] = []
    for (shard, header) in headers.enumerated() {
      for (tensor, offset) in zip(header.tensors, header.offsets) {
        let location = Location(tensor: tensor, shard: shard, offset: offset)
        guard locations.updateValue(location, forKey: tensor.name) == nil else {
          throw FormatError(path: paths[shard], subject: "tensor \(tensor.name)", "is also in another shard")
        }
        tensors.append(tensor)
      }
    }
    if missingShards == 0, let expected = header.metadata.optionalInt("split.tensors.count"), expected != tensors.count
    {
      throw FormatError(
        path: path, subject: "key split.tensors.count", "is \(expected), but the shards hold \(tensors.count) tensors"
      )
    }
    var metadata = header.metadata
    for key in ShardName.keys { metadata.removeValue(forKey: key) }
    self.metadata = metadata
    self.name = String(path.split(separator: "/").last ?? Substring(path))
    self.tensors = tensors
    self.paths = paths
    self.files = files
    self.locations = locations
  }

  /// Bytes of all files.
  public var bytes: Int { files.reduce(0) { $0 + $1.size } }

  public func tensor(named name: String) -> TensorInfo? { locations[name]?.tensor }

  /// The path of the file or of the first shard.
  public var path: String { paths[0] }

  /// The path of the shard that holds a tensor of this model.
  func shardPath(of tensor: TensorInfo) -> String { path(of: tensor) ?? path }
  /// The byte offset of a tensor's data in its shard.
  package func offset(of tensor: TensorInfo) -> Int { locations[tensor.name]?.offset ?? 0 }

  public func path(of tensor: TensorInfo) -> String? { locations[tensor.name].map { paths[$0.shard] } }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    guard let location = locations[tensor.name],
      let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns)
    else {
      preconditionFailure("\(name) has no tensor \(tensor.name)")
    }
    precondition(rows.upperBound <= tensor.shape.rows && output.byteCount == rows.count * rowBytes)
    try files[location.shard].read(into: &output, at: location.offset + rows.lowerBound * rowBytes)
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else {
      preconditionFailure("\(tensor.name) has rows that are not whole blocks")
    }
    guard !tensor.type.isInteger else {
      throw FormatError(
        path: shardPath(of: tensor), subject: "tensor \(tensor.name)", offset: offset(of: tensor),
        "holds integers (\(tensor.type)), not weights")
    }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try readBytes(of: tensor, rows: rows, into: &raw)
    decodeRows(bytes.span.bytes, as: tensor.type, into: &output)
  }
}
