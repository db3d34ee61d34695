import GGUF
import Synchronization
import Tensors

/// A model in memory, for tests: metadata and F32 tensors.
public final class MemoryModel: ModelSource {
  public let name: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  private let values: [String: [Float]]
  private let infos: [String: TensorInfo]
  /// Number of reads of each row, by tensor.
  public let rowReads = Mutex<[String: Int]>([:])

  /// Shapes are in ggml's order; `values` have as many elements.
  public init(name: String = "memory", metadata: Metadata, tensors: [(name: String, shape: [Int], values: [Float])]) {
    self.name = name
    self.metadata = metadata
    self.tensors = tensors.map { TensorInfo(name: $0.name, shape: Shape($0.shape)!, type: .f32) }
    values = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.values) })
    infos = Dictionary(uniqueKeysWithValues: self.tensors.map { ($0.name, $0) })
    for tensor in self.tensors { precondition(values[tensor.name]!.count == tensor.shape.count, tensor.name) }
  }

  public func tensor(named name: String) -> TensorInfo? { infos[name] }

  /// All elements of a tensor.
  public func values(of name: String) -> [Float] { values[name]! }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let columns = tensor.shape.columns
    precondition(output.count == rows.count * columns)
    rowReads.withLock { $0[tensor.name, default: 0] += rows.count }
    let all = values[tensor.name]!
    for i in 0..<output.count { output[i] = all[rows.lowerBound * columns + i] }
  }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let columns = tensor.shape.columns
    let all = values[tensor.name]!
    for i in 0..<rows.count * columns {
      output.storeBytes(of: all[rows.lowerBound * columns + i], toByteOffset: i * 4, as: Float.self)
    }
  }
}
