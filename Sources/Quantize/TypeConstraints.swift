import Blocks
import GGUF
import Tensors

/// Constraints on tensors' types. Pins have precedence, then floors, then the allowed types.
public struct TypeConstraints: Sendable, Equatable {
  /// Rules that fix a tensor's type. The first matching rule decides.
  public var pins: [TypeRule] = []
  /// Rules with the minimum type of a tensor, by bits per weight. The first matching rule decides.
  public var floors: [TypeRule] = []
  /// Floors by tensor name, for tensors that do not tolerate few bits. They apply in addition to ``floors``.
  public var safeguards: [String: GGMLType] = [:]
  /// Types that tensors may not get.
  public var excluded: Set<GGMLType> = []
  /// Types that tensors may get; nil for all.
  public var only: Set<GGMLType>?
  /// Names of tensors that keep their type unless they are pinned.
  public var kept: Set<String> = []
  /// Whether the output head keeps its type.
  public var leavesOutput = false
  /// Names of tensors that the importance matrix lacks. They get no type that needs importance, even if pinned.
  public var withoutImportance: Set<String> = []

  /// No constraints.
  public init() {}

  /// Checks that every pin and floor matches a tensor of the model.
  package func check(against model: any ModelSource) throws(RecipeError) {
    try (pins + floors).checkSpeed(on: model)
    for rule in (pins + floors).unmatched(in: model) { throw rule.unmatchedError(in: model) }
  }

  /// Whether tensors may get a type without being pinned to it.
  public func allows(_ type: GGMLType) -> Bool { !excluded.contains(type) && only?.contains(type) ?? true }

  /// The type to which a tensor is pinned, or its present type if it keeps it; nil if it is not pinned.
  public func pinned(_ tensor: TensorInfo) -> GGMLType? {
    if leavesOutput && tensor.role == .output { return tensor.type }
    guard let pin = pins.first(where: { $0.pattern.matches(tensor.name) }) else {
      return kept.contains(tensor.name) ? tensor.type : nil
    }
    let type = pin.type.fitting(columns: tensor.shape.columns)
    return canHave(type, tensor) ? type : replacement(for: type, tensor) ?? type
  }

  /// False if the type needs importance and the tensor has none, unless the tensor already has the type.
  private func canHave(_ type: GGMLType, _ tensor: TensorInfo) -> Bool {
    !type.needsImportance || type == tensor.type || !withoutImportance.contains(tensor.name)
  }

  /// The higher one of the user's floor and the safeguard's.
  private func floor(for tensor: TensorInfo) -> GGMLType? {
    [floors.first { $0.pattern.matches(tensor.name) }?.type, safeguards[tensor.name]].compactMap { $0 }
      .max { $0.bitsPerWeight < $1.bitsPerWeight }
  }

  /// The types of `menu` that a tensor may get; empty if constraints and shape exclude all.
  public func menu(for tensor: TensorInfo, from menu: [GGMLType]) -> [GGMLType] {
    if let pinned = pinned(tensor) { return [pinned] }
    let floor = floor(for: tensor)?.bitsPerWeight ?? 0
    return menu.filter {
      allows($0) && $0.bitsPerWeight >= floor && tensor.shape.columns % $0.blockLength == 0 && canHave($0, tensor)
    }
  }

  /// Applies the constraints to types: a type is pinned, raised to a floor, or replaced by the next larger allowed
  /// type, or by the largest allowed type if none is larger.
  ///
  /// - Throws: ``QuantizeError/unsupported(_:)`` if no allowed type fits a tensor,
  ///   ``QuantizeError/needsImportance(tensor:type:)`` if all allowed types need importance that the tensor lacks.
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
    if let floor = floor(for: tensor), type.bitsPerWeight < floor.bitsPerWeight {
      type =
        (type.isAffine && !floor.isAffine ? type.smallestAffine(atLeast: floor.bitsPerWeight) : floor)
        .fitting(columns: tensor.shape.columns)
    }
    if allows(type), canHave(type, tensor) { return type }
    if let replacement = replacement(for: type, tensor) { return replacement }
    guard canHave(type, tensor) else { throw .needsImportance(tensor: tensor.name, type: type) }
    throw .unsupported("tensor \(tensor.name): no allowed type fits rows of \(tensor.shape.columns)")
  }

  /// The next larger type that a tensor may get, or the largest if none is larger; nil if it may get none.
  ///
  /// Without importance, Q2_K is preferred: llama-quantize requires importance for IQ2_S and IQ3_XXS, too.
  private func replacement(for type: GGMLType, _ tensor: TensorInfo) -> GGMLType? {
    // A tensor that has floats so far may be of a model for MLX too.
    let affine = type.affine ?? only?.lazy.compactMap(\.affine).first
    let all = affine.map { AffineFormat.all($0.scales).map(\.type) + [$0.scales.type] } ?? GGMLType.allCases
    let fitting = all.filter {
      allows($0) && $0.canHoldWeights && tensor.shape.columns % $0.blockLength == 0 && canHave($0, tensor)
        && (only != nil || type.isForTrainedLevels || !$0.isForTrainedLevels)
    }.sorted { ($0.bitsPerWeight, $0.rawValue) < ($1.bitsPerWeight, $1.rawValue) }
    if !canHave(type, tensor), fitting.contains(.q2_K) { return .q2_K }
    return fitting.first { $0.bitsPerWeight >= type.bitsPerWeight } ?? fitting.last
  }

  /// The tensors that get another type because they lack importance, with both types. `types` may be those before or
  /// after ``applied(to:of:)``.
  public func replacements(
    in types: [GGMLType], of model: any ModelSource
  ) throws(QuantizeError) -> [(tensor: String, wanted: GGMLType, given: GGMLType)] {
    var unrestricted = self
    unrestricted.withoutImportance = []
    let wanted = try unrestricted.applied(to: types, of: model)
    let given = try applied(to: types, of: model)
    return model.tensors.indices.filter { wanted[$0] != given[$0] }.map {
      (model.tensors[$0].name, wanted[$0], given[$0])
    }
  }
}

extension GGMLType {
  /// The smallest affine type, with these scales and groups of 64, that has at least so many bits per weight; the float
  /// type of the scales where none has.
  fileprivate func smallestAffine(atLeast bits: Double) -> GGMLType {
    guard let affine else { return self }
    let types = AffineFormat.all(affine.scales).filter { $0.group == 64 }.map(\.type)
    return types.first { $0.bitsPerWeight >= bits } ?? affine.scales.type
  }

  /// False for integers and double precision, in which no tensor is written.
  var canHoldWeights: Bool { !isInteger && self != .f64 }

  /// True for types with few levels, which suit only models that were trained with these levels.
  package var isForTrainedLevels: Bool {
    switch self {
    case .tq1_0, .tq2_0, .mxfp4: true
    default: false
    }
  }
}
