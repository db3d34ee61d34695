import GGUF
import Tensors

/// The composition of a model: its tensors by class and by type.
public struct Inventory: Sendable, Equatable {
  /// Tensors with the same name except for the layer: `attn_q`, `ffn_down_exps`, `attn_q.bias`.
  public struct Class: Sendable, Equatable {
    /// The name without the layer and without `.weight`.
    public let name: String
    /// The number of tensors.
    public fileprivate(set) var tensors = 0
    /// The number of elements of all tensors.
    public fileprivate(set) var weights = 0
    /// Bytes of all tensors without padding.
    public fileprivate(set) var bytes = 0
    /// The shape of the first tensor.
    public let shape: Shape
    /// Whether all tensors have that shape.
    public fileprivate(set) var isUniform = true
    /// Number of tensors per type, the most frequent first.
    public fileprivate(set) var types: [TypeCount] = []
  }

  /// The tensors of a type.
  public struct TypeCount: Sendable, Equatable {
    /// The type.
    public let type: GGMLType
    /// The number of tensors.
    public fileprivate(set) var tensors = 0
    /// The number of elements of all tensors.
    public fileprivate(set) var weights = 0
    /// Bytes of all tensors without padding.
    public fileprivate(set) var bytes = 0
  }

  /// The classes in the order of their first tensors.
  public let classes: [Class]
  /// The types in descending order of their bytes.
  public let types: [TypeCount]
  /// The number of elements of all tensors.
  public let weights: Int
  /// Bytes of all tensors without padding.
  public let bytes: Int

  /// Counts tensors.
  public init(_ tensors: [TensorInfo]) {
    var classes: [Class] = []
    var indices: [String: Int] = [:]
    var types: [TypeCount] = []
    for tensor in tensors {
      let name = TensorName(tensor.name).title
      let index = indices[name] ?? classes.count
      if index == classes.count {
        classes.append(Class(name: name, shape: tensor.shape))
        indices[name] = index
      }
      let bytes = tensor.shape.bytes(as: tensor.type) ?? 0
      classes[index].tensors += 1
      classes[index].weights += tensor.shape.count
      classes[index].bytes += bytes
      if tensor.shape != classes[index].shape { classes[index].isUniform = false }
      classes[index].types.count(tensor, bytes)
      types.count(tensor, bytes)
    }
    for index in classes.indices {
      classes[index].types.sort { ($1.tensors, $0.type.rawValue) < ($0.tensors, $1.type.rawValue) }
    }
    self.classes = classes
    self.types = types.sorted { ($1.bytes, $0.type.rawValue) < ($0.bytes, $1.type.rawValue) }
    weights = types.reduce(0) { $0 + $1.weights }
    bytes = types.reduce(0) { $0 + $1.bytes }
  }

  /// The mean number of bits per element.
  public var bitsPerWeight: Double { Double(bytes) * 8 / Double(max(1, weights)) }
}

extension [Inventory.TypeCount] {
  fileprivate mutating func count(_ tensor: TensorInfo, _ bytes: Int) {
    let index = firstIndex { $0.type == tensor.type } ?? count
    if index == count { append(Inventory.TypeCount(type: tensor.type)) }
    self[index].tensors += 1
    self[index].weights += tensor.shape.count
    self[index].bytes += bytes
  }
}
