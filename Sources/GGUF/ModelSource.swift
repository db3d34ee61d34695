import Tensors

/// A tensor of a model: its GGUF name, its shape in ggml's order, and the type its rows are stored (or offered) in.
public struct TensorInfo: Sendable, Hashable {
  public let name: String
  public let shape: Shape
  public let type: GGMLType

  public init(name: String, shape: Shape, type: GGMLType) {
    self.name = name
    self.shape = shape
    self.type = type
  }
}

/// What a model is to everyone above: metadata in GGUF's keys, and named tensors whose rows can be read.
///
/// A GGUF file (or its shards) and a Hugging Face directory both are one. Tensors never come whole: callers ask for
/// ranges of rows, from any thread, and what is resident is what they asked for.
public protocol ModelSource: Sendable {
  /// The last component of the path, for messages and metadata; never a local path.
  var name: String { get }
  var metadata: Metadata { get }
  /// In the order they have in the file (or would have in a converted one).
  var tensors: [TensorInfo] { get }
  func tensor(named name: String) -> TensorInfo?

  /// The stored bytes of rows, in `tensor.type`. `output` holds exactly `rows.count * rowBytes` bytes.
  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws

  /// The same rows as floats. `output` holds exactly `rows.count * columns` elements.
  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws

  /// The file that holds a tensor, for messages; nil where there is none.
  func path(of tensor: TensorInfo) -> String?
}

extension ModelSource {
  public func path(of tensor: TensorInfo) -> String? { nil }
}
