import Tensors

extension TypeRule {
  /// The same pattern with another type.
  public func mapping(_ map: (GGMLType) throws -> GGMLType) rethrows -> TypeRule {
    TypeRule(pattern: pattern, type: try map(type))
  }
}

extension TypeConstraints {
  /// The same constraints with every type replaced, such as those that a user names by the ones of the output's form.
  public func mapping(_ map: (GGMLType) throws -> GGMLType) rethrows -> TypeConstraints {
    var result = self
    result.pins = try pins.map { try $0.mapping(map) }
    result.floors = try floors.map { try $0.mapping(map) }
    result.excluded = Set(try excluded.map(map))
    result.only = try only.map { Set(try $0.map(map)) }
    return result
  }
}

extension Recipe {
  /// The same rules with every type replaced.
  public func mapping(_ map: (GGMLType) throws -> GGMLType) rethrows -> Recipe {
    var result = self
    if case .type(let type) = base { result.base = .type(try map(type)) }
    result.rules = try rules.map { try $0.mapping(map) }
    return result
  }
}
