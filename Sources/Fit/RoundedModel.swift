import GGUF
import Quantize
import Synchronization
import Tensors

/// A model whose rounded tensors are read from the file that is being written. It runs beside the exact model while layers are
/// rounded one after the other.
///
/// Unchecked: the session's rows are read by position, from any thread; the set of names is locked.
final class RoundedModel: ModelSource, @unchecked Sendable {
  private let session: RewriteSession
  private let base: any ModelSource
  private let indices: [String: Int]
  private let written = Mutex<Set<String>>([])

  init(_ session: RewriteSession) {
    self.session = session
    base = session.plan.source
    indices = Dictionary(uniqueKeysWithValues: session.plan.source.tensors.enumerated().map { ($1.name, $0) })
  }

  /// Reads a tensor from the file from now on.
  func add(_ name: String) { written.withLock { _ = $0.insert(name) } }

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }
  func path(of tensor: TensorInfo) -> String? { base.path(of: tensor) }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    precondition(!written.withLock { $0.contains(tensor.name) }, "a rounded tensor has no stored bytes")
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let index = indices[tensor.name], written.withLock({ $0.contains(tensor.name) }) else {
      return try base.readRows(of: tensor, rows: rows, into: &output)
    }
    try session.readRows(of: index, rows: rows, into: &output)
  }
}
