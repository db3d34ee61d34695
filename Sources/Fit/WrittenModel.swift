import GGUF
import Tensors

/// A model whose tensors are read from a file that was made of it.
struct WrittenModel: ModelSource {
  let base: any ModelSource
  let file: any ModelSource

  var name: String { file.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }
  func path(of tensor: TensorInfo) -> String? { file.tensor(named: tensor.name).flatMap { file.path(of: $0) } }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let stored = stored(tensor)
    precondition(stored.type == tensor.type, "a rounded tensor has no stored bytes")
    try file.readBytes(of: stored, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try file.readRows(of: stored(tensor), rows: rows, into: &output)
  }

  private func stored(_ tensor: TensorInfo) -> TensorInfo {
    guard let stored = file.tensor(named: tensor.name), stored.shape == tensor.shape else {
      preconditionFailure("\(file.name) has no tensor \(tensor.name) of \(tensor.shape)")
    }
    return stored
  }
}
