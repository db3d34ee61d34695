import GGUF
import Tensors

extension Recipe {
  /// The rules that a file's types follow: the shortest of a base type with rules and of a stock mix with rules.
  /// Applied to the model's shapes, it gives exactly these types.
  public init(explaining model: any ModelSource) {
    self = RecipeExplainer(model).recipe(for: model.tensors.map(\.type))
  }
}

/// Explains choices of types for one model. The stock mixes' types, which every explanation is compared with, are found
/// once.
public struct RecipeExplainer: Sendable {
  fileprivate struct Stock: Sendable {
    let mix: StockMix
    let hasImportance: Bool
    let types: [GGMLType]
    /// The mix is the same with an importance matrix as without.
    let isPlain: Bool
  }

  private let tensors: [TensorInfo]
  private let classes: [String]
  private let layers: [Int]
  private let quantizable: [Int]
  private let stocks: [Stock]

  public init(_ model: any ModelSource) {
    tensors = model.tensors
    classes = tensors.map(\.layerClass)
    layers = tensors.map { $0.layer ?? -1 }
    quantizable = tensors.indices.filter { [tensors] in tensors[$0].isQuantizable }
    let facts = MixTensors(model)
    stocks = StockMix.allCases.flatMap { mix in
      let types = [true, false].map { mix.types(for: model, facts, hasImportance: $0) }
      return zip([true, false], types).map { hasImportance, own in
        Stock(mix: mix, hasImportance: hasImportance, types: own, isPlain: types[0] == types[1])
      }
    }
  }

  /// The shortest recipe that gives these types, in the model's order.
  public func recipe(for types: [GGMLType]) -> Recipe {
    var weights: [GGMLType: Int] = [:]
    for index in quantizable { weights[types[index], default: 0] += tensors[index].shape.count }
    let base = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
    var result = Recipe(base: .type(base), rules: rules(for: types, base: base) { _ in true })
    for (stock, _) in nearest(to: types).prefix(3) {
      let rules = rules(for: types, base: nil) { stock.types[$0] != types[$0] }
      guard rules.count < result.rules.count else { continue }
      result = Recipe(
        base: .mix(stock.mix, hasImportance: stock.isPlain ? nil : stock.hasImportance), rules: rules)
    }
    return result
  }

  /// All stock mixes, those that differ in the fewest weights first.
  fileprivate func nearest(to types: [GGMLType]) -> [(stock: Stock, nearness: StockMix.Nearness)] {
    let all = stocks.map { stock in
      var (differing, weights) = (0, 0)
      for index in tensors.indices where stock.types[index] != types[index] {
        differing += 1
        weights += tensors[index].shape.count
      }
      return (
        stock: stock,
        nearness: StockMix.Nearness(
          mix: stock.mix, hasImportance: stock.hasImportance, differing: differing, weights: weights)
      )
    }
    return all.enumerated().sorted {
      ($0.element.nearness.weights, $0.element.nearness.differing, $0.offset)
        < ($1.element.nearness.weights, $1.element.nearness.differing, $1.offset)
    }.map(\.element)
  }

  /// Tensors of some layers (all where nil) whose classes share a type.
  private struct Group {
    let layers: Set<Int>?
    let type: GGMLType
    let isInLayers: Bool
    var classes: [String]

    var rule: TypeRule {
      let names = classes.map(\.escapedForPattern)
      let joined = names.count == 1 ? names[0] : "(" + names.joined(separator: "|") + ")"
      let text =
        if let layers { "^blk\\.\(LayerPattern.regex(for: layers))\\.\(joined)" } else {
          isInLayers ? "\\.\(joined)" : "^\(joined)"
        }
      guard let pattern = try? TensorPattern(text) else { preconditionFailure("pattern \(text)") }
      return TypeRule(pattern: pattern, type: type)
    }
  }

  /// Rules for some of the tensors. Where a class is concerned as a whole, its commonest type needs no layers, and no rule
  /// at all where it is the base.
  private func rules(for all: [GGMLType], base: GGMLType?, where isConcerned: (Int) -> Bool) -> [TypeRule] {
    var classes: [String: [GGMLType: Set<Int>]] = [:]
    var sizes: [String: Int] = [:]
    var order: [String] = []
    for index in quantizable {
      let name = self.classes[index]
      sizes[name, default: 0] += 1
      guard isConcerned(index) else { continue }
      if classes[name] == nil { order.append(name) }
      classes[name, default: [:]][all[index], default: []].insert(layers[index])
    }
    var exceptions: [Group] = []
    var commons: [Group] = []
    func add(_ name: String, _ layers: Set<Int>?, _ type: GGMLType, isInLayers: Bool, to groups: inout [Group]) {
      if let index = groups.firstIndex(where: {
        $0.layers == layers && $0.type == type && $0.isInLayers == isInLayers
      }) {
        groups[index].classes.append(name)
      } else {
        groups.append(Group(layers: layers, type: type, isInLayers: isInLayers, classes: [name]))
      }
    }
    for name in order {
      let types = classes[name]!.sorted { ($1.value.count, $0.key.rawValue) < ($0.value.count, $1.key.rawValue) }
      let isWhole = types.reduce(0) { $0 + $1.value.count } == sizes[name]
      let isInLayers = types[0].value != [-1]
      for (type, layers) in types.dropFirst(isWhole ? 1 : 0) {
        add(name, layers, type, isInLayers: true, to: &exceptions)
      }
      if isWhole, types[0].key != base { add(name, nil, types[0].key, isInLayers: isInLayers, to: &commons) }
    }
    return (exceptions + commons).map(\.rule)
  }
}

extension StockMix {
  /// How near a stock mix comes to a file.
  public struct Nearness: Sendable, Equatable {
    public let mix: StockMix
    public let hasImportance: Bool
    /// Tensors with another type, and the weights in them.
    public let differing: Int
    public let weights: Int
  }

  /// All stock mixes, those that differ in the fewest weights first.
  public static func nearest(to model: any ModelSource) -> [Nearness] {
    RecipeExplainer(model).nearest(to: model.tensors.map(\.type)).map(\.nearness)
  }
}

extension String {
  /// A pattern that matches this text alone. Names are what a file says they are.
  fileprivate var escapedForPattern: String {
    String(flatMap { #"\*?+[](){}^$|."#.contains($0) ? ["\\", $0] : [$0] })
  }
}
