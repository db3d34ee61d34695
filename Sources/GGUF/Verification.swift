import Blocks
import Files
import Tensors

/// Reads every tensor of a GGUF once and checks what a header can't tell: that all scales are finite, and that the data
/// has the checksums it once had.
public struct Verification {
  public let file: GGUFFile
  /// Sums to compare with; nil to compute them only.
  public let expected: TensorChecksums?
  /// Bytes read at once.
  public var blockBytes = 16 << 20

  public init(_ file: GGUFFile, expected: TensorChecksums? = nil) {
    self.file = file
    self.expected = expected
  }

  /// - Parameter progress: hears of every block that was read; its steps are tensors.
  /// - Returns: the sums of all tensors.
  /// - Throws: `FormatError` at the first bad block, wrong sum, or tensor without a sum; `FileError`.
  public func run(progress: any RunObserver = NoObserver()) throws -> TensorChecksums {
    if let expected {
      for name in expected.sums.keys.sorted() where file.tensor(named: name) == nil {
        throw FormatError(path: file.path, subject: "tensor \(name)", "has a checksum and is not in the file")
      }
    }
    var sums = TensorChecksums()
    let total = max(1, file.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) })
    var done = 0
    for (index, tensor) in file.tensors.enumerated() {
      guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), rowBytes > 0 else { continue }
      var digest = DataDigest()
      let step = max(1, blockBytes / rowBytes)
      for row in stride(from: 0, to: tensor.shape.rows, by: step) {
        let rows = row..<min(tensor.shape.rows, row + step)
        var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try file.readBytes(of: tensor, rows: rows, into: &raw)
        digest.update(bytes.span.bytes)
        if let block = firstNonFiniteBlock(bytes.span.bytes, as: tensor.type) {
          throw failure(tensor, block: row * (rowBytes / tensor.type.blockBytes) + block, rowBytes: rowBytes)
        }
        done += bytes.count
        try progress.advance(
          RunProgress(
            fraction: Double(done) / Double(total), step: index, stepCount: file.tensors.count, detail: tensor.name))
      }
      let hex = digest.hex()
      if let expected {
        guard let wanted = expected[tensor.name] else {
          throw FormatError(path: file.path, subject: "tensor \(tensor.name)", "has no checksum")
        }
        guard wanted == hex else {
          throw FormatError(
            path: file.path(of: tensor), subject: "tensor \(tensor.name)", offset: file.offset(of: tensor),
            "has other data than its checksum says", hint: "the file is damaged: download or make it again")
        }
      }
      sums.add(hex, for: tensor.name)
    }
    return sums
  }

  private func failure(_ tensor: TensorInfo, block: Int, rowBytes: Int) -> FormatError {
    let perRow = rowBytes / tensor.type.blockBytes
    let place = tensor.type.isQuantized ? "block \(block % perRow)" : "column \(block % perRow)"
    return FormatError(
      path: file.path(of: tensor), subject: "tensor \(tensor.name)",
      offset: file.offset(of: tensor) + block * tensor.type.blockBytes,
      "row \(block / perRow), \(place): \(tensor.type.isQuantized ? "a scale" : "the value") is NaN or infinite",
      hint: "the file is damaged, or was made from damaged weights")
  }
}
