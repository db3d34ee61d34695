import GGUF
import Tensors

/// The composition of a model: its tensors by class and by type.
public struct Inventory: Sendable, Equatable {
  /// Tensors with the same name except for the layer: `attn_q`, `ffn_down_exps`, `attn_q.bias`.
  public struct Class: Sendable, Equatable {
    public let name: String
    public fileprivate(set) var tensors = 0
    public fileprivate(set) var weights = 0
    public fileprivate(set) var bytes = 0
    /// The shape of the first tensor.
    public let shape: Shape
    /// Whether all tensors have that shape.
    public fileprivate(set) var isUniform = true
    /// Number of tensors per type, the most frequent first.
    public fileprivate(set) var types: [TypeCount] = []
  }

  public struct TypeCount: Sendable, Equatable {
    public let type: GGMLType
    public fileprivate(set) var tensors = 0
    public fileprivate(set) var weights = 0
    public fileprivate(set) var bytes = 0
  }

  /// In the order of first appearance.
  public let classes: [Class]
  /// The largest first.
  public let types: [TypeCount]
  public let weights: Int
  /// Bytes of all tensors without padding.
  public let bytes: Int

  public init(_ tensors: [TensorInfo]) {
    var classes: [Class] = []
    var places: [String: Int] = [:]
    var types: [TypeCount] = []
    for tensor in tensors {
      let name = TensorName(tensor.name).title
      let place = places[name] ?? classes.count
      if place == classes.count {
        classes.append(Class(name: name, shape: tensor.shape))
        places[name] = place
      }
      let bytes = tensor.shape.bytes(as: tensor.type) ?? 0
      classes[place].tensors += 1
      classes[place].weights += tensor.shape.count
      classes[place].bytes += bytes
      if tensor.shape != classes[place].shape { classes[place].isUniform = false }
      classes[place].types.count(tensor, bytes)
      types.count(tensor, bytes)
    }
    for place in classes.indices {
      classes[place].types.sort { ($1.tensors, $0.type.rawValue) < ($0.tensors, $1.type.rawValue) }
    }
    self.classes = classes
    self.types = types.sorted { ($1.bytes, $0.type.rawValue) < ($0.bytes, $1.type.rawValue) }
    weights = types.reduce(0) { $0 + $1.weights }
    bytes = types.reduce(0) { $0 + $1.bytes }
  }

  public var bitsPerWeight: Double { Double(bytes) * 8 / Double(max(1, weights)) }
}

extension [Inventory.TypeCount] {
  fileprivate mutating func count(_ tensor: TensorInfo, _ bytes: Int) {
    let place = firstIndex { $0.type == tensor.type } ?? count
    if place == count { append(Inventory.TypeCount(type: tensor.type)) }
    self[place].tensors += 1
    self[place].weights += tensor.shape.count
    self[place].bytes += bytes
  }
}
