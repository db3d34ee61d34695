import GGUF
import Tensors

/// A model with metadata, shapes and types, but without rows. Serves to compute mixes, sizes and recipes.
public struct TypedShapes: ModelSource {
  public let name: String
  public var metadata: Metadata
  public var tensors: [TensorInfo] { didSet { index = Self.index(tensors) } }
  private var index: [String: Int]

  /// A model with these tensors.
  public init(name: String, metadata: Metadata, tensors: [TensorInfo]) {
    self.name = name
    self.metadata = metadata
    self.tensors = tensors
    index = Self.index(tensors)
  }

  /// A model with other types, in the order of its tensors.
  public init(_ model: any ModelSource, types: [GGMLType]) {
    precondition(types.count == model.tensors.count, "\(types.count) types for \(model.tensors.count) tensors")
    self.init(
      name: model.name, metadata: model.metadata,
      tensors: zip(model.tensors, types).map { TensorInfo(name: $0.name, shape: $0.shape, type: $1) })
  }

  private static func index(_ tensors: [TensorInfo]) -> [String: Int] {
    Dictionary(tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  public func tensor(named name: String) -> TensorInfo? { index[name].map { tensors[$0] } }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    throw QuantizeError.unsupported("\(name): tensor \(tensor.name) has no weights: only its shape is known")
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    throw QuantizeError.unsupported("\(name): tensor \(tensor.name) has no weights: only its shape is known")
  }
}
