import Files
import GGUF
import Tensors

/// A tensor that config.json implies: its GGUF name and shape, and the stored tensors that it is made of.
///
/// Derived from config.json alone. ``AssembledTensor`` checks the weights against it.
struct ExpectedTensor: Sendable {
  /// The origin of the values. Shapes are those of stored tensors: [rows, columns].
  enum Parts: Sendable {
    /// A stored tensor, unchanged.
    case whole(String, shape: [Int])
    /// A stored tensor whose rows are two halves per head, which GGUF interleaves.
    case interleaved(String, shape: [Int], heads: Int)
    /// Stored matrices of equal shape, stacked, such as the experts of a layer.
    case stack([String], shape: [Int])
    /// From every group of `every` rows of a stored tensor, the `count` rows from `first` on.
    case slices(String, shape: [Int], first: Int, count: Int, every: Int)
    /// The rows of `slices`, transposed within each group.
    case transposed(String, shape: [Int], first: Int, count: Int, every: Int)
    /// The even rows of a stored tensor (`first` 0), or the odd ones (1).
    case everySecondRow(String, shape: [Int], first: Int)
    /// The even or odd columns of a stored tensor.
    case everySecondColumn(String, shape: [Int], first: Int)
    /// Columns of each matrix of a stored stack [matrices, rows, columns], as rows: `count` columns from `first` on, at
    /// distances of `every`.
    case transposedColumns(String, shape: [Int], first: Int, count: Int, every: Int)
    /// Rows of a stored tensor in another order: the ranges, one after the other. A vector's rows are its elements.
    case rows(String, shape: [Int], order: [Range<Int>])
    /// Columns of a stored matrix in another order.
    case columns(String, shape: [Int], order: [Range<Int>])
    /// Computed values, such as rope factors.
    case computed([Float])

    /// Whether stored rows remain whole, so that blocks can be copied.
    var keepRows: Bool {
      switch self {
      case .whole, .interleaved, .stack, .slices, .everySecondRow, .rows: true
      case .transposed, .everySecondColumn, .transposedColumns, .columns, .computed: false
      }
    }
  }

  /// A function of the stored values, computed in single precision.
  enum Transform: Sendable {
    case none
    /// x + 1: norms whose weights are stored as differences from 1.
    case plusOne
    /// -e^x: decays that are stored as logarithms.
    case negativeExponential
  }

  let name: String
  /// Extents in ggml's order.
  let shape: Shape
  /// Always written as F32: norms, biases, routers.
  let isExact: Bool
  let parts: Parts
  /// The type of the matrix if only config.json is known; nil for the type that config.json declares for all.
  let declaredType: GGMLType?
  /// Applied to tensors that are ``isExact`` only.
  var transform = Transform.none

  var storedNames: [String] {
    switch parts {
    case .whole(let name, _), .interleaved(let name, _, _), .slices(let name, _, _, _, _),
      .transposed(let name, _, _, _, _), .everySecondRow(let name, _, _), .everySecondColumn(let name, _, _),
      .transposedColumns(let name, _, _, _, _), .rows(let name, _, _), .columns(let name, _, _):
      [name]
    case .stack(let names, _): names
    case .computed: []
    }
  }
}

/// Collects the tensors of a model from its hyperparameters.
struct TensorCollector {
  /// Whether the checkpoint stores a tensor; nil if only config.json is known.
  private let isStored: ((String) -> Bool)?
  /// The stored head differs from the embeddings, although config.json may tie them.
  let keepsTiedHead: Bool
  private let path: String
  private(set) var tensors: [ExpectedTensor] = []
  private var weights = 0
  private var storedNames = 0
  /// Limit of stored tensors: a short config.json can imply billions. The largest models have 100,000.
  private static let maximumStored = 1 << 20

  init(path: String, keepsTiedHead: Bool = false, isStored: ((String) -> Bool)? = nil) {
    self.path = path
    self.keepsTiedHead = keepsTiedHead
    self.isStored = isStored
  }

  /// Whether an optional tensor exists: true if it is `expected` or the checkpoint stores it.
  func has(_ name: String, expected: Bool) -> Bool { expected || isStored?(name) == true }

  /// Chooses between two ways of storing the same values: true if the checkpoint stores `name`.
  ///
  /// - Parameter expected: the choice if only config.json is known.
  func prefers(_ name: String, expected: Bool = true) -> Bool { isStored?(name) ?? expected }

  /// Adds a matrix [outputs, inputs]. With `heads`, it gives rotary queries or keys whose halves are interleaved.
  mutating func matrix(_ name: String, from source: String, outputs: Int, inputs: Int, heads: Int? = nil) throws {
    let shape = [outputs, inputs]
    try append(
      name, [inputs, outputs],
      heads.map { .interleaved(source, shape: shape, heads: $0) } ?? .whole(source, shape: shape))
  }

  /// Adds a matrix that is always F32, such as a router.
  mutating func exactMatrix(_ name: String, from source: String, outputs: Int, inputs: Int) throws {
    try append(name, [inputs, outputs], .whole(source, shape: [outputs, inputs]), exact: true)
  }

  /// Adds a vector, such as a norm or a bias; always F32.
  ///
  /// - Parameter order: the order of the stored elements; nil for their own.
  mutating func vector(
    _ name: String, from source: String, count: Int, heads: Int? = nil, order: [Range<Int>]? = nil,
    transform: ExpectedTensor.Transform = .none
  ) throws {
    let shape = [count]
    let parts: ExpectedTensor.Parts =
      order.map { .rows(source, shape: shape, order: $0) } ?? heads.map {
        .interleaved(source, shape: shape, heads: $0)
      } ?? .whole(source, shape: shape)
    try append(name, shape, parts, exact: true, transform: transform)
  }

  /// When a matrix has a bias.
  enum Bias {
    /// Never: GGUF cannot store one.
    case none
    /// If the checkpoint stores one.
    case stored
    /// Always.
    case expected
  }

  /// Adds a matrix and, if the model has one, its bias.
  mutating func linear(
    _ name: String, from source: String, outputs: Int, inputs: Int, bias: Bias, heads: Int? = nil
  ) throws {
    try matrix(name + ".weight", from: source + ".weight", outputs: outputs, inputs: inputs, heads: heads)
    guard bias != .none, has(source + ".bias", expected: bias == .expected) else { return }
    try vector(name + ".bias", from: source + ".bias", count: outputs, heads: heads)
  }

  /// Adds the stack of one matrix [outputs, inputs] per expert.
  mutating func experts(
    _ name: String, count: Int, outputs: Int, inputs: Int, from source: (_ expert: Int) -> String
  ) throws {
    try append(name, [inputs, outputs, count], .stack((0..<count).map(source), shape: [outputs, inputs]))
  }

  /// Adds a tensor that is a part of a larger one.
  ///
  /// - Parameters:
  ///   - isExact: whether it is always F32.
  ///   - type: its type if only config.json is known; nil for the type that config.json declares.
  mutating func part(
    _ name: String, _ dimensions: [Int], _ parts: ExpectedTensor.Parts, isExact: Bool = false, type: GGMLType? = nil
  ) throws {
    try append(name, dimensions, parts, exact: isExact, type: type)
  }

  /// Adds the experts of one layer that are stored as two tensors: gates above ups, and downs.
  mutating func stackedExperts(_ to: String, from: String, count: Int, width: Int, inputs: Int) throws {
    for (name, first) in [("ffn_gate_exps", 0), ("ffn_up_exps", width)] {
      try part(
        to + name + ".weight", [inputs, width, count],
        .slices(
          from + "gate_up_proj", shape: [count, 2 * width, inputs], first: first, count: width, every: 2 * width))
    }
    try part(
      to + "ffn_down_exps.weight", [width, inputs, count],
      .whole(from + "down_proj", shape: [count, inputs, width]))
  }

  mutating func computed(_ name: String, _ values: [Float]) throws {
    try append(name, [values.count], .computed(values), exact: true)
  }

  private mutating func append(
    _ name: String, _ dimensions: [Int], _ parts: ExpectedTensor.Parts, exact: Bool = false, type: GGMLType? = nil,
    transform: ExpectedTensor.Transform = .none
  ) throws {
    guard let shape = Shape(dimensions), shape.bytes(as: .f32) != nil else {
      throw FormatError(path: path, subject: "tensor \(name)", "would have the impossible shape \(dimensions)")
    }
    let tensor = ExpectedTensor(
      name: name, shape: shape, isExact: exact, parts: parts, declaredType: type, transform: transform)
    storedNames += tensor.storedNames.count
    guard shape.count <= Shape.modelMaximum - weights, storedNames <= Self.maximumStored else {
      throw FormatError(path: path, subject: "tensor \(name)", "makes more weights than any model has")
    }
    weights += shape.count
    tensors.append(tensor)
  }
}
