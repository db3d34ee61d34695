import GGUF
import Tensors

/// A model of which nothing but keys and shapes is known. Its rows can't be read.
public struct ShapesOnly: ModelSource {
  public let name: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  private let places: [String: Int]

  /// Of tensors with the same name the last counts.
  public init(name: String, metadata: Metadata, tensors: [TensorInfo]) {
    self.name = name
    self.metadata = metadata
    self.tensors = tensors
    places = Dictionary(tensors.enumerated().map { ($1.name, $0) }) { $1 }
  }

  public func tensor(named name: String) -> TensorInfo? { places[name].map { tensors[$0] } }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    throw PlanError(.missing, "\(name): tensor \(tensor.name): only its shape is known")
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    throw PlanError(.missing, "\(name): tensor \(tensor.name): only its shape is known")
  }
}
