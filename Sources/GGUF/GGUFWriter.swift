import Files
import Tensors

/// Writes a GGUF whose header is complete from the first byte on: tensor data follows in any order, by rows.
///
///     let writer = try GGUFWriter(path: path, layout: layout, overwrite: false)
///     try writer.write(bytes, tensor: 0, row: 0)
///     try writer.commit()
///
/// A model in shards is written the same way; tensors are numbered through all of them.
public final class GGUFWriter {
  public let shards: GGUFShards
  /// The files that ``commit()`` leaves.
  public let paths: [String]
  public let tensors: [TensorInfo]
  private let outputs: [OutputFile]
  private let places: [(output: Int, offset: Int)]
  /// True where all files were begun by an earlier run and have their whole size: its rows may be there.
  public let isResumed: Bool

  /// Reserves the whole size and writes the header.
  public convenience init(path: String, layout: GGUFLayout, overwrite: Bool, resuming: Bool = false) throws {
    try self.init(path: path, shards: GGUFShards(layout), overwrite: overwrite, resuming: resuming)
  }

  /// Reserves the whole size of all files and writes their headers. `path` is the one that a single file would have.
  ///
  /// `resuming` goes on with the temporary files that an earlier run left.
  public init(path: String, shards: GGUFShards, overwrite: Bool, resuming: Bool = false) throws {
    self.shards = shards
    paths = shards.paths(path)
    tensors = shards.layouts.flatMap(\.tensors)
    places = shards.layouts.enumerated().flatMap { output, layout in layout.offsets.map { (output, $0) } }
    outputs = try paths.map { try OutputFile(path: $0, overwrite: overwrite, resuming: resuming) }
    let allocated = outputs.reduce(0) { $0 + $1.allocated }
    try OutputFile.requireSpace(shards.totalBytes - allocated, for: path)
    isResumed = resuming && zip(outputs, shards.layouts).allSatisfy { $0.inherited == $1.totalBytes }
    for (output, layout) in zip(outputs, shards.layouts) {
      try output.reserve(layout.totalBytes)
      try output.write(layout.header)
    }
  }

  /// Leaves what is written for a later run when this writer is dropped without a commit.
  public func keepTemporary() { outputs.forEach { $0.keepTemporary() } }

  /// Removes the temporary files when this writer is dropped without a commit.
  public func discardTemporary() { outputs.forEach { $0.discardTemporary() } }

  /// What stands in the rows of tensor number `index`, from row `row` on.
  public func read(into output: inout MutableRawSpan, tensor index: Int, row: Int) throws {
    guard let rowBytes = tensors[index].type.rowBytes(columns: tensors[index].shape.columns) else { return }
    try outputs[places[index].output].read(into: &output, at: places[index].offset + row * rowBytes)
  }

  /// SHA-256 of what stands in tensor number `index`.
  public func digest(tensor index: Int, bufferBytes: Int = 16 << 20) throws -> String {
    var digest = DataDigest()
    let tensor = tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), rowBytes > 0 else { return digest.hex() }
    let step = max(1, bufferBytes / rowBytes)
    for row in stride(from: 0, to: tensor.shape.rows, by: step) {
      var bytes = [UInt8](repeating: 0, count: min(step, tensor.shape.rows - row) * rowBytes)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try read(into: &raw, tensor: index, row: row)
      digest.update(bytes.span.bytes)
    }
    return digest.hex()
  }

  /// Rows of tensor number `index`, from row `row` on, in the tensor's type.
  public func write(_ bytes: RawSpan, tensor index: Int, row: Int) throws {
    let tensor = tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else { return }
    precondition(
      rowBytes == 0 || bytes.byteCount % rowBytes == 0 && row + bytes.byteCount / rowBytes <= tensor.shape.rows,
      "\(bytes.byteCount) bytes at row \(row) of \(tensor.name)")
    try outputs[places[index].output].write(bytes, at: places[index].offset + row * rowBytes)
  }

  /// Writes tensor number `index` as it is stored in `source`, at most `bufferBytes` at a time (a row at least).
  public func copy(
    tensor index: Int, from source: any ModelSource, bufferBytes: Int = 16 << 20,
    progress: (_ bytes: Int) throws -> Void = { _ in }
  ) throws {
    let tensor = tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), rowBytes > 0 else { return }
    let step = max(1, bufferBytes / rowBytes)
    var buffer = [UInt8](repeating: 0, count: min(step, tensor.shape.rows) * rowBytes)
    for row in stride(from: 0, to: tensor.shape.rows, by: step) {
      let rows = row..<min(tensor.shape.rows, row + step)
      if rows.count < step && row > 0 { buffer.removeLast(buffer.count - rows.count * rowBytes) }
      var span = buffer.mutableSpan
      var raw = span.mutableBytes
      try source.readBytes(of: tensor, rows: rows, into: &raw)
      try write(buffer.span.bytes, tensor: index, row: row)
      try progress(buffer.count)
    }
  }

  /// Syncs and gives the files their names, the first shard last: it is the one that opens the model.
  public func commit() throws {
    for output in outputs.reversed() { try output.commit() }
  }
}
