import Blocks
import Files
import Tensors

/// Checks a model's data: all scales are finite, and the checksums match. Every tensor is read once.
public struct Verification {
  private let file: any ModelSource
  private let path: String
  private let expected: TensorChecksums?
  private static let bufferBytes = 16 << 20

  /// - Parameter expected: the checksums to compare with; nil to compute them only.
  public init(_ file: GGUFFile, expected: TensorChecksums? = nil) {
    self.init(file, path: file.path, expected: expected)
  }

  /// - Parameter path: the path of the model, for messages.
  public init(_ file: any ModelSource, path: String, expected: TensorChecksums? = nil) {
    self.file = file
    self.path = path
    self.expected = expected
  }

  /// Reads and checks all tensors.
  ///
  /// - Parameter progress: its steps are tensors.
  /// - Returns: the checksums of all tensors.
  /// - Throws: `FormatError` at the first non-finite block, wrong or missing checksum; `FileError`.
  public func run(progress: any RunObserver = NoObserver()) throws -> TensorChecksums {
    if let expected {
      for name in expected.sums.keys.sorted() where file.tensor(named: name) == nil {
        throw FormatError(path: path, subject: "tensor \(name)", "has a checksum but is not in the file")
      }
    }
    var sums = TensorChecksums()
    let total = max(1, file.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) })
    var done = 0
    for (index, tensor) in file.tensors.enumerated() {
      guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), rowBytes > 0 else { continue }
      var digest = DataDigest()
      let step = max(1, Self.bufferBytes / rowBytes)
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
        guard let expectedHex = expected[tensor.name] else {
          throw FormatError(path: path, subject: "tensor \(tensor.name)", "has no checksum")
        }
        guard expectedHex == hex else {
          throw FormatError(
            path: file.path(of: tensor) ?? path, subject: "tensor \(tensor.name)",
            offset: (file as? GGUFFile)?.offset(of: tensor),
            "does not match its checksum", hint: "the file is damaged: download it or create it again")
        }
      }
      sums.add(hex, for: tensor.name)
    }
    return sums
  }

  private func failure(_ tensor: TensorInfo, block: Int, rowBytes: Int) -> FormatError {
    let perRow = rowBytes / tensor.type.blockBytes
    let column = tensor.type.isQuantized ? "block \(block % perRow)" : "column \(block % perRow)"
    return FormatError(
      path: file.path(of: tensor) ?? path, subject: "tensor \(tensor.name)",
      offset: (file as? GGUFFile).map { $0.offset(of: tensor) + block * tensor.type.blockBytes },
      "row \(block / perRow), \(column): \(tensor.type.isQuantized ? "a scale" : "the value") is NaN or infinite",
      hint: "the file or the model that it was made from is damaged")
  }
}
