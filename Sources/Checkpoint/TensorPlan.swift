import Files
import GGUF
import Tensors

/// A tensor as an architecture wants it: its GGUF name and shape, and what of the checkpoint it is made of.
///
/// Everything follows from config.json alone; weights are looked at later, and must agree.
struct PlannedTensor: Sendable {
  /// Shapes of parts are in the checkpoint's order: [rows, columns].
  enum Parts: Sendable {
    /// One stored tensor, row by row.
    case whole(String, shape: [Int])
    /// A stored tensor whose rows are two halves per head; GGUF has them interleaved.
    case interleaved(String, shape: [Int], heads: Int)
    /// Stored matrices on top of each other, such as the experts of a layer.
    case stack([String], shape: [Int])
    /// From every group of `every` rows of a stored tensor the `count` that begin at `first`.
    case slices(String, shape: [Int], first: Int, count: Int, every: Int)
    /// The same rows, each group of them transposed: its columns become rows.
    case transposed(String, shape: [Int], first: Int, count: Int, every: Int)
    /// Values that are computed, such as rope factors.
    case computed([Float])
  }

  let name: String
  /// In ggml's order.
  let shape: Shape
  /// Always F32: norms, biases, routers.
  let isExact: Bool
  let parts: Parts

  var storedNames: [String] {
    switch parts {
    case .whole(let name, _), .interleaved(let name, _, _), .slices(let name, _, _, _, _),
      .transposed(let name, _, _, _, _):
      [name]
    case .stack(let names, _): names
    case .computed: []
    }
  }
}

/// Collects the tensors of a model from its hyperparameters.
struct TensorCollector {
  /// Tells whether the checkpoint stores a tensor; nil where only config.json is known.
  private let isStored: ((String) -> Bool)?
  /// The checkpoint stores a head that differs from the embeddings, whatever config.json ties.
  let keepsTiedHead: Bool
  private let path: String
  private(set) var tensors: [PlannedTensor] = []
  private var weights = 0
  private var storedNames = 0
  /// Stored tensors at most, of which a hundred bytes of config.json can ask for billions; the largest models have 100,000.
  private static let mostStored = 1 << 20

  init(path: String, keepsTiedHead: Bool = false, isStored: ((String) -> Bool)? = nil) {
    self.path = path
    self.keepsTiedHead = keepsTiedHead
    self.isStored = isStored
  }

  /// True where the checkpoint has a tensor that only some models have, or, without weights, where `expected`.
  func has(_ name: String, expected: Bool) -> Bool { expected || isStored?(name) == true }

  /// Where weights decide between two ways of storing the same: true if `name` is there, or nothing is known.
  func prefers(_ name: String) -> Bool { isStored?(name) ?? true }

  /// A matrix [outputs, inputs]; `heads` tells that it makes rotary queries or keys whose halves are to be interleaved.
  mutating func matrix(_ name: String, from source: String, outputs: Int, inputs: Int, heads: Int? = nil) throws {
    let shape = [outputs, inputs]
    try append(
      name, [inputs, outputs],
      heads.map { .interleaved(source, shape: shape, heads: $0) } ?? .whole(source, shape: shape))
  }

  /// A matrix that must stay exact, such as a router.
  mutating func exactMatrix(_ name: String, from source: String, outputs: Int, inputs: Int) throws {
    try append(name, [inputs, outputs], .whole(source, shape: [outputs, inputs]), exact: true)
  }

  /// A vector, such as a norm or a bias; always exact.
  mutating func vector(_ name: String, from source: String, count: Int, heads: Int? = nil) throws {
    try append(
      name, [count],
      heads.map { .interleaved(source, shape: [count], heads: $0) } ?? .whole(source, shape: [count]), exact: true)
  }

  /// Whether a matrix has a bias.
  enum Bias {
    /// GGUF has no place for one.
    case none
    /// Where one is stored.
    case stored
    case expected
  }

  /// A matrix with a bias, if the model has one.
  mutating func linear(
    _ name: String, from source: String, outputs: Int, inputs: Int, bias: Bias, heads: Int? = nil
  ) throws {
    try matrix(name + ".weight", from: source + ".weight", outputs: outputs, inputs: inputs, heads: heads)
    guard bias != .none, has(source + ".bias", expected: bias == .expected) else { return }
    try vector(name + ".bias", from: source + ".bias", count: outputs, heads: heads)
  }

  /// One matrix [outputs, inputs] an expert, stacked.
  mutating func experts(
    _ name: String, count: Int, outputs: Int, inputs: Int, from source: (_ expert: Int) -> String
  ) throws {
    try append(name, [inputs, outputs, count], .stack((0..<count).map(source), shape: [outputs, inputs]))
  }

  /// A tensor that is cut out of a larger one.
  mutating func part(_ name: String, _ dimensions: [Int], _ parts: PlannedTensor.Parts) throws {
    try append(name, dimensions, parts)
  }

  mutating func computed(_ name: String, _ values: [Float]) throws {
    try append(name, [values.count], .computed(values), exact: true)
  }

  private mutating func append(
    _ name: String, _ dimensions: [Int], _ parts: PlannedTensor.Parts, exact: Bool = false
  ) throws {
    guard let shape = Shape(dimensions), shape.bytes(as: .f32) != nil else {
      throw FormatError(path: path, subject: "tensor \(name)", "would have the impossible shape \(dimensions)")
    }
    let tensor = PlannedTensor(name: name, shape: shape, isExact: exact, parts: parts)
    storedNames += tensor.storedNames.count
    guard shape.count <= Shape.modelMaximum - weights, storedNames <= Self.mostStored else {
      throw FormatError(path: path, subject: "tensor \(name)", "makes more weights than any model has")
    }
    weights += shape.count
    tensors.append(tensor)
  }
}
