import Tensors

/// Writes a GGUF whose header is complete from the first byte on: tensor data follows in any order, by rows.
///
///     let writer = try GGUFWriter(path: path, layout: layout, overwrite: false)
///     try writer.write(bytes, tensor: 0, row: 0)
///     try writer.commit()
public final class GGUFWriter {
  public let layout: GGUFLayout
  private let output: OutputFile

  /// Reserves the whole size and writes the header.
  public init(path: String, layout: GGUFLayout, overwrite: Bool) throws {
    self.layout = layout
    output = try OutputFile(path: path, overwrite: overwrite)
    try output.reserve(layout.totalBytes)
    try output.write(layout.header)
  }

  /// Rows of tensor number `index`, from row `row` on, in the tensor's type.
  public func write(_ bytes: RawSpan, tensor index: Int, row: Int) throws {
    let tensor = layout.tensors[index]
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) else { return }
    precondition(
      rowBytes == 0 || bytes.byteCount % rowBytes == 0 && row + bytes.byteCount / rowBytes <= tensor.shape.rows,
      "\(bytes.byteCount) bytes at row \(row) of \(tensor.name)")
    try output.write(bytes, at: layout.offsets[index] + row * rowBytes)
  }

  /// Syncs and gives the file its name.
  public func commit() throws { try output.commit() }
}
