import Blocks
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
  /// Tensors that an importance matrix lacks, by name: none of them gets a type that needs importance, pinned or not.
  public var withoutImportance: Set<String> = []

  public init() {}

  public var isEmpty: Bool { self == TypeConstraints() }

  /// Refuses pins and floors that no tensor of the model answers to.
  public func check(against model: any ModelSource) throws(RecipeError) {
    try (pins + floors).checkSpeed(on: model)
    for rule in (pins + floors).unmatched(in: model) { throw rule.unmatchedError(in: model) }
  }

  public func allows(_ type: GGMLType) -> Bool { !excluded.contains(type) && only?.contains(type) ?? true }

  /// The type that a tensor is pinned to; its own where it is to be left.
  public func pinned(_ tensor: TensorInfo) -> GGMLType? {
    if leavesOutput && tensor.role == .output { return tensor.type }
    return pins.first { $0.pattern.matches(tensor.name) }.map {
      let type = $0.type.fitting(columns: tensor.shape.columns)
      return canHave(type, tensor) ? type : replacement(for: type, tensor) ?? type
    }
  }

  /// False where a tensor would have to be encoded in a type that needs importance, and has none.
  private func canHave(_ type: GGMLType, _ tensor: TensorInfo) -> Bool {
    !type.needsImportance || type == tensor.type || !withoutImportance.contains(tensor.name)
  }

  /// The types of a menu that a tensor may become; empty where constraints and shape leave none.
  public func menu(for tensor: TensorInfo, from menu: [GGMLType]) -> [GGMLType] {
    if let pinned = pinned(tensor) { return [pinned] }
    let floor = floors.first { $0.pattern.matches(tensor.name) }?.type.bitsPerWeight ?? 0
    return menu.filter {
      allows($0) && $0.bitsPerWeight >= floor && tensor.shape.columns % $0.blockLength == 0 && canHave($0, tensor)
    }
  }

  /// Types as they become under the constraints: pinned, raised to a floor, or replaced by the next larger type that is
  /// allowed; by the largest allowed where none is larger.
  ///
  /// - Throws: ``QuantizeError/unsupported(_:)`` where nothing that is allowed fits a tensor,
  ///   ``QuantizeError/needsImportance(tensor:type:)`` where all that is allowed needs importance.
  public func applied(to types: [GGMLType], of model: any ModelSource) throws(QuantizeError) -> [GGMLType] {
    var result = types
    for (index, tensor) in model.tensors.enumerated() where tensor.isQuantizable {
      result[index] = try applied(to: types[index], tensor)
    }
    return result
  }

  private func applied(to type: GGMLType, _ tensor: TensorInfo) throws(QuantizeError) -> GGMLType {
    if let pinned = pinned(tensor) { return pinned }
    var type = type
    if let floor = floors.first(where: { $0.pattern.matches(tensor.name) })?.type,
      type.bitsPerWeight < floor.bitsPerWeight
    {
      type = floor.fitting(columns: tensor.shape.columns)
    }
    if allows(type), canHave(type, tensor) { return type }
    if let replacement = replacement(for: type, tensor) { return replacement }
    guard canHave(type, tensor) else { throw .needsImportance(tensor: tensor.name, type: type) }
    throw .unsupported("tensor \(tensor.name): no type that is allowed fits rows of \(tensor.shape.columns)")
  }

  /// The next larger type that a tensor may have, or the largest where none is larger; nil where it may have none.
  ///
  /// Where importance is missing, Q2_K before any other: llama-quantize wants importance for IQ2_S and IQ3_XXS, too.
  private func replacement(for type: GGMLType, _ tensor: TensorInfo) -> GGMLType? {
    let fitting = GGMLType.allCases.filter {
      allows($0) && $0.canHoldWeights && tensor.shape.columns % $0.blockLength == 0 && canHave($0, tensor)
        && (only != nil || type.isForTrainedLevels || !$0.isForTrainedLevels)
    }.sorted { ($0.bitsPerWeight, $0.rawValue) < ($1.bitsPerWeight, $1.rawValue) }
    if !canHave(type, tensor), fitting.contains(.q2_K) { return .q2_K }
    return fitting.first { $0.bitsPerWeight >= type.bitsPerWeight } ?? fitting.last
  }

  /// The tensors whose type is another than it would be if they had importance, with both types. `types` are those
  /// before or after ``applied(to:of:)``.
  public func replacements(
    in types: [GGMLType], of model: any ModelSource
  ) throws(QuantizeError) -> [(tensor: String, wanted: GGMLType, given: GGMLType)] {
    var unhindered = self
    unhindered.withoutImportance = []
    let wanted = try unhindered.applied(to: types, of: model)
    let given = try applied(to: types, of: model)
    return model.tensors.indices.filter { wanted[$0] != given[$0] }.map {
      (model.tensors[$0].name, wanted[$0], given[$0])
    }
  }
}

extension GGMLType {
  /// False for integers and double precision, which nothing is written in.
  var canHoldWeights: Bool { !isInteger && self != .f64 }

  /// True for the types whose few levels are those that a model was trained with: as a stand-in they ruin any other.
  var isForTrainedLevels: Bool {
    switch self {
    case .tq1_0, .tq2_0, .mxfp4: true
    default: false
    }
  }
}
