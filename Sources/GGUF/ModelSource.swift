import Tensors

/// The name, shape and type of a tensor.
public struct TensorInfo: Sendable, Hashable {
  /// The name in GGUF.
  public let name: String
  /// The shape in ggml's order.
  public let shape: Shape
  /// The type in which ``ModelSource/readBytes(of:rows:into:)`` returns rows.
  public let type: GGMLType

  /// The description of a tensor: see the properties.
  public init(name: String, shape: Shape, type: GGMLType) {
    self.name = name
    self.shape = shape
    self.type = type
  }
}

/// A model: metadata under GGUF's keys, and named tensors whose rows can be read.
///
/// A GGUF file and a Hugging Face directory are sources. Any thread reads ranges of rows, and only the requested rows
/// are in memory.
public protocol ModelSource: Sendable {
  /// The last component of the model's path, for messages and metadata.
  var name: String { get }
  /// The keys and values of the model's GGUF file.
  var metadata: Metadata { get }
  /// The tensors in the order of the model's GGUF file.
  var tensors: [TensorInfo] { get }
  /// The tensor of a GGUF name; nil where the model has none.
  func tensor(named name: String) -> TensorInfo?

  /// Reads rows in the tensor's type. `output` holds exactly `rows.count * rowBytes` bytes.
  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws

  /// Reads rows as floats. `output` holds exactly `rows.count * columns` elements.
  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws

  /// The path of the file that holds a tensor; nil where there is none.
  func path(of tensor: TensorInfo) -> String?
}

extension ModelSource {
  /// Nil: the model is not in files.
  public func path(of tensor: TensorInfo) -> String? { nil }
}
