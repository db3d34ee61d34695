import Files
import Tensors

/// Writes a GGUF file or shards: first the complete header, then the rows of the tensors in any order.
///
///     let writer = try GGUFWriter(path: path, layout: layout, overwrite: false)
///     try writer.write(bytes, tensor: 0, row: 0)
///     try writer.commit()
///
/// The index of a tensor counts the tensors of all shards.
public final class GGUFWriter {
  /// The final paths of the files.
  public let paths: [String]
  /// The tensors of all files, in their order.
  let tensors: [TensorInfo]
  private let outputs: [OutputFile]
  /// Bytes of every file.
  private let reserved: [Int]
  private let locations: [(output: Int, offset: Int)]
  /// Whether an earlier run left all files at their final size, so that some rows may be written already.
  public let isResumed: Bool

  /// Reserves the final size on the disk and writes the header.
  public convenience init(path: String, layout: GGUFLayout, overwrite: Bool, resuming: Bool = false) throws {
    try self.init(path: path, shards: GGUFShards(layout), overwrite: overwrite, resuming: resuming)
  }

  /// Reserves the final size of all files on the disk and writes their headers.
  ///
  /// - Parameters:
  ///   - path: the path of a single file; shards get numbered names.
  ///   - overwrite: lets ``commit()`` replace existing files.
  ///   - resuming: keeps the temporary files of an earlier run.
  ///   - checksSpace: false where space becomes free while the files are written.
  ///   - shared: lets other processes write other tensors at the same time.
  /// - Throws: `FileError`, for example where the disk has too little free space.
  public init(
    path: String, shards: GGUFShards, overwrite: Bool, resuming: Bool = false, shared: Bool = false,
    checksSpace: Bool = true
  ) throws {
    paths = shards.paths(path)
    tensors = shards.layouts.flatMap(\.tensors)
    locations = shards.layouts.enumerated().flatMap { output, layout in layout.offsets.map { (output, $0) } }
    outputs = try paths.map { try OutputFile(path: $0, overwrite: overwrite, resuming: resuming, shared: shared) }
    reserved = shards.layouts.map(\.totalBytes)
    let allocated = outputs.reduce(0) { $0 + $1.allocated }
    if checksSpace { try OutputFile.requireSpace(shards.totalBytes - allocated, for: path) }
    isResumed = resuming && zip(outputs, shards.layouts).allSatisfy { $0.inherited == $1.totalBytes }
    for (output, layout) in zip(outputs, shards.layouts) {
      try output.reserve(layout.totalBytes, checksSpace: checksSpace)
      try output.write(layout.header)
    }
  }

  /// Bytes that the files will still take on the disk.
  package var unallocatedBytes: Int {
    zip(outputs, reserved).reduce(0) { $0 + max(0, $1.1 - $1.0.allocated) }
  }

  /// Keeps the temporary files when this writer is dropped without a commit.
  public func keepTemporary() { outputs.forEach { $0.keepTemporary() } }

  /// Removes the temporary files when this writer is dropped without a commit.
  public func discardTemporary() { outputs.forEach { $0.discardTemporary() } }

  /// Fills `output` with the written rows of a tensor from row `row` on.
  public func read(into output: inout MutableRawSpan, tensor index: Int, row: Int) throws {
    guard let rowBytes = tensors[index].type.rowBytes(columns: tensors[index].shape.columns) else { return }
    try outputs[locations[index].output].read(into: &output, at: locations[index].offset + row * rowBytes)
  }

  /// SHA-256 of a tensor's written data, in hexadecimal. It is read at most `bufferBytes` at a time (at least one row).
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

  /// Writes rows of a tensor, encoded in its type, from row `row` on.
  public func write(_ bytes: RawSpan, tensor index: Int, row: Int) throws {
    let tensor = tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else { return }
    precondition(
      rowBytes == 0 || bytes.byteCount % rowBytes == 0 && row + bytes.byteCount / rowBytes <= tensor.shape.rows,
      "\(bytes.byteCount) bytes at row \(row) of \(tensor.name)")
    try outputs[locations[index].output].write(bytes, at: locations[index].offset + row * rowBytes)
  }

  /// Copies a tensor's bytes from `source`, at most `bufferBytes` at a time (at least one row).
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

  /// Syncs the written rows to the disk.
  public func sync() throws { for output in outputs { try output.sync() } }

  /// Syncs the files and gives them their final names, the first shard last, because it opens the model.
  public func commit() throws {
    for output in outputs.reversed() { try output.commit() }
  }
}
