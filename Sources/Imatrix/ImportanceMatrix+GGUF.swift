import Files
import GGUF
import Tensors

/// The GGUF format: `general.type` = "imatrix"; per tensor `<name>.in_sum2` F32 [columns, counts], sums of squares, and
/// `<name>.counts` F32 [1, counts]. A stack with one count is one long row. Other tensors, such as `<name>.in_sum`
/// (sums of activations), are not read.
extension ImportanceMatrix {
  /// Reads a file of either format, identified by its first bytes.
  ///
  /// - Throws: ``ImatrixError``, `FormatError` or `FileError`
  public init(path: String) throws {
    let file = try PositionedFile(path: path)
    let magic = try file.bytes(in: 0..<min(4, file.size))
    if magic == Array("GGUF".utf8) { try self.init(gguf: path) } else { try self.init(legacy: file) }
  }

  private init(gguf path: String) throws {
    let file = try GGUFFile(path: path)
    func fail(_ reason: String) -> ImatrixError { .malformed(file: file.name, reason: reason) }
    let kind = file.metadata.optionalString("general.type")
    guard kind == "imatrix" else {
      throw fail(kind.map { "is a GGUF of type '\($0)', not 'imatrix'" } ?? "is a GGUF without importance")
    }
    var entries: [String: Entry] = [:]
    func isImportance(_ tensor: TensorInfo) -> Bool {
      tensor.name.hasSuffix(".in_sum2") || tensor.name.hasSuffix(".counts")
    }
    // Check all tensors before reading any, since sums are read together with their counts.
    for tensor in file.tensors where isImportance(tensor) && tensor.type != .f32 {
      throw fail("tensor '\(tensor.name)' is \(tensor.type), not F32")
    }
    for tensor in file.tensors where tensor.name.hasSuffix(".in_sum2") {
      let name = String(tensor.name.dropLast(".in_sum2".count))
      guard let counts = file.tensor(named: name + ".counts") else { throw fail("'\(name)' has sums but no counts") }
      guard counts.shape.count > 0, tensor.shape.count > 0, tensor.shape.count % counts.shape.count == 0 else {
        throw fail("'\(name)' has \(tensor.shape.count) sums for \(counts.shape.count) counts")
      }
      let entry = Entry(sums: try file.floats(tensor), counts: try file.floats(counts))
      guard (entry.sums + entry.counts).allSatisfy({ $0.isFinite && $0 >= 0 }) else {
        throw ImatrixError.notANumber(file: file.name, tensor: name)
      }
      guard entry.counts.allSatisfy({ $0 < 1e15 }) else {
        throw fail("'\(name)' has a count beyond the tokens of any text")
      }
      entries[name] = entry
    }
    guard !entries.isEmpty else { throw fail("has no sums of squares (.in_sum2)") }
    self.init(
      entries: entries, datasets: file.metadata.optionalStrings("imatrix.datasets") ?? [],
      chunkCount: file.metadata.optionalInt("imatrix.chunk_count") ?? 0,
      chunkSize: file.metadata.optionalInt("imatrix.chunk_size") ?? 0)
    unread = file.tensors.filter { !isImportance($0) }.map(\.name)
  }

  /// Writes the GGUF format, sorted by name. The bytes depend only on the matrix and `others`.
  ///
  /// - Parameter others: additional metadata.
  /// - Throws: `FormatError` or `FileError`
  public func write(gguf path: String, overwrite: Bool = false, adding others: Metadata? = nil) throws {
    var metadata: Metadata = [
      "general.type": .string("imatrix"), "imatrix.datasets": .array(.string(datasets)),
      "imatrix.chunk_count": .uint32(UInt32(clamping: chunkCount)),
      "imatrix.chunk_size": .uint32(UInt32(clamping: chunkSize)),
    ]
    if let others { metadata.merge(others) { $1 } }
    var tensors: [TensorInfo] = []
    var contents: [[Float]] = []
    for name in names {
      let entry = entries[name]!
      let matrices = entry.counts.count
      for (suffix, columns, values) in [
        ("in_sum2", entry.sums.count / matrices, entry.sums), ("counts", 1, entry.counts),
      ] {
        tensors.append(TensorInfo(name: "\(name).\(suffix)", shape: Shape([columns, matrices])!, type: .f32))
        contents.append(values)
      }
    }
    let layout = GGUFLayout(metadata: metadata, tensors: tensors)
    let writer = try GGUFWriter(path: path, layout: layout, overwrite: overwrite)
    for (index, values) in contents.enumerated() { try writer.write(values.span.bytes, tensor: index, row: 0) }
    try writer.commit()
  }
}

extension ModelSource {
  /// Reads all elements of an F32 tensor.
  fileprivate func floats(_ tensor: TensorInfo) throws -> [Float] {
    var values = [Float](repeating: 0, count: tensor.shape.count)
    var span = values.mutableSpan
    var bytes = span.mutableBytes
    try readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &bytes)
    return values
  }
}
