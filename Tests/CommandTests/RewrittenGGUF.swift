import GGUF
import Tensors

/// Writes a copy of a GGUF with other keys and tensors.
///
/// - Parameter change: the tensors that replace a tensor: none, itself or others, which get as many of its bytes as they
///   need.
func rewriteGGUF(
  _ path: String, to output: String, keys: Metadata = [:], _ change: (TensorInfo) -> [TensorInfo] = { [$0] }
) throws {
  let file = try GGUFFile(path: path)
  let tensors = file.tensors.flatMap { tensor in change(tensor).map { (from: tensor, to: $0) } }
  let layout = GGUFLayout(metadata: file.metadata.merging(keys) { $1 }, tensors: tensors.map(\.to))
  let writer = try GGUFWriter(path: output, layout: layout, overwrite: true)
  for (index, tensor) in tensors.enumerated() {
    var bytes = [UInt8](repeating: 0, count: tensor.from.shape.bytes(as: tensor.from.type) ?? 0)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try file.readBytes(of: tensor.from, rows: 0..<tensor.from.shape.rows, into: &raw)
    let count = tensor.to.shape.bytes(as: tensor.to.type) ?? 0
    try writer.write(bytes.span.bytes.extracting(0..<count), tensor: index, row: 0)
  }
  try writer.commit()
}

extension TensorInfo {
  /// The same tensor under another name.
  func named(_ name: String) -> TensorInfo { TensorInfo(name: name, shape: shape, type: type) }
}
