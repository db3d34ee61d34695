import GGUF
import Tensors

/// What a choice of types has to respect, whoever makes it: pins first, then floors, then which types there may be.
public struct TypeConstraints: Sendable, Equatable {
  /// Tensors whose type is fixed. The first that matches decides.
  public var pins: [TypeRule] = []
  /// Tensors that get no fewer bits than a type has. The first that matches decides.
  public var floors: [TypeRule] = []
  /// Types that no tensor may become.
  public var excluded: Set<GGMLType> = []
  /// Types that tensors may become; nil for all.
  public var only: Set<GGMLType>?
  /// The output head keeps its type.
  public var leavesOutput = false

  public init() {}

  public var isEmpty: Bool { self == TypeConstraints() }

  /// Refuses pins and floors that no tensor of the model answers to.
  public func check(against model: any ModelSource) throws(RecipeError) {
    try (pins + floors).checkSpeed(on: model)
    for rule in (pins + floors).unmatched(in: model) { throw .unmatched(rule: rule.description) }
  }

  public func allows(_ type: GGMLType) -> Bool { !excluded.contains(type) && only?.contains(type) ?? true }

  /// The type that a tensor is pinned to; its own where it is to be left.
  public func pinned(_ tensor: TensorInfo) -> GGMLType? {
    if leavesOutput && tensor.role == .output { return tensor.type }
    return pins.first { $0.pattern.matches(tensor.name) }?.type.fitting(columns: tensor.shape.columns)
  }

  /// The types of a menu that a tensor may become; empty where constraints and shape leave none.
  public func menu(for tensor: TensorInfo, from menu: [GGMLType]) -> [GGMLType] {
    if let pinned = pinned(tensor) { return [pinned] }
    let floor = floors.first { $0.pattern.matches(tensor.name) }?.type.bitsPerWeight ?? 0
    return menu.filter {
      allows($0) && $0.bitsPerWeight >= floor && tensor.shape.columns % $0.blockLength == 0
    }
  }

  /// Types as they become under the constraints: pinned, raised to a floor, or replaced by the next larger type that is
  /// allowed; by the largest allowed where none is larger.
  ///
  /// - Throws: ``QuantizeError/unsupported(_:)`` where nothing that is allowed fits a tensor.
  public func applied(to types: [GGMLType], of model: any ModelSource) throws(QuantizeError) -> [GGMLType] {
    var result = types
    for (index, tensor) in model.tensors.enumerated() where tensor.isQuantizable {
      if let pinned = pinned(tensor) {
        result[index] = pinned
        continue
      }
      var type = types[index]
      if let floor = floors.first(where: { $0.pattern.matches(tensor.name) })?.type,
        type.bitsPerWeight < floor.bitsPerWeight
      {
        type = floor.fitting(columns: tensor.shape.columns)
      }
      guard !allows(type) else {
        result[index] = type
        continue
      }
      let fitting = GGMLType.allCases.filter {
        allows($0) && $0.canHoldWeights && tensor.shape.columns % $0.blockLength == 0
      }.sorted { ($0.bitsPerWeight, $0.rawValue) < ($1.bitsPerWeight, $1.rawValue) }
      guard let replacement = fitting.first(where: { $0.bitsPerWeight >= type.bitsPerWeight }) ?? fitting.last else {
        throw .unsupported("tensor \(tensor.name): no type that is allowed fits rows of \(tensor.shape.columns)")
      }
      result[index] = replacement
    }
    return result
  }
}

extension GGMLType {
  /// False for integers and double precision, which no matrix of a model has.
  var canHoldWeights: Bool {
    switch self {
    case .i8, .i16, .i32, .i64, .f64: false
    default: true
    }
  }
}
