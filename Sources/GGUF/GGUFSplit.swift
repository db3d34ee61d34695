import Files
import Tensors

/// Splits a model into shards, or merges shards, and leaves the tensors' data unchanged.
public enum GGUFSplit {
  /// Writes a model as shards, or as one file.
  ///
  /// - Parameters:
  ///   - source: one file or shards.
  ///   - path: the path of one file; shards get `-00001-of-0000N` before `.gguf`.
  ///   - limit: the maximum size of a shard; nil for one file.
  ///   - emptyFirst: keeps tensors out of the first shard.
  ///   - overwrite: replaces existing files.
  ///   - progress: its steps are tensors.
  /// - Returns: the paths of the written files.
  /// - Throws: `FormatError` where an output is also an input; `FileError`.
  @discardableResult
  public static func write(
    _ source: GGUFFile, to path: String, limit: ShardLimit?, emptyFirst: Bool = false, overwrite: Bool = false,
    progress: any RunObserver = NoObserver()
  ) throws -> [String] {
    let shards = try GGUFShards(
      metadata: source.metadata, tensors: source.tensors, limit: limit, emptyFirst: emptyFirst)
    let inputs = Set(source.paths.compactMap(FileIdentity.init(path:)))
    for output in shards.paths(path) {
      if let identity = FileIdentity(path: output), inputs.contains(identity) {
        throw FormatError(path: output, "is an input too", hint: "name another output")
      }
    }
    let writer = try GGUFWriter(path: path, shards: shards, overwrite: overwrite)
    let total = source.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    var done = 0
    for index in writer.tensors.indices {
      try writer.copy(tensor: index, from: source) {
        done += $0
        try progress.advance(
          RunProgress(
            fraction: Double(done) / Double(max(1, total)), step: index, stepCount: writer.tensors.count,
            detail: writer.tensors[index].name))
      }
    }
    try writer.commit()
    return writer.paths
  }
}
