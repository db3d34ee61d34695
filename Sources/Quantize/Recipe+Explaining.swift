import GGUF
import Tensors

extension Recipe {
  /// The shortest recipe that gives a model's types: a base type or a stock mix, with rules for exceptions. Applied to
  /// the model's shapes, it gives exactly these types.
  public init(explaining model: any ModelSource) {
    self = RecipeExplainer(model).recipe(for: model.tensors.map(\.type))
  }
}

/// Finds recipes for types of one model. The types of the stock mixes are computed once.
struct RecipeExplainer: Sendable {
  fileprivate struct Stock: Sendable {
    let mix: StockMix
    let hasImportance: Bool
    let types: [GGMLType]
    /// Whether the mix is the same with and without an importance matrix.
    let isPlain: Bool
  }

  private let tensors: [TensorInfo]
  private let classes: [String]
  private let layers: [Int]
  private let quantizable: [Int]
  /// Tensors whose types stock mixes leave as they are: a quantized one needs a rule.
  private let kept: Set<Int>
  private let stocks: [Stock]

  init(_ model: any ModelSource) {
    tensors = model.tensors
    classes = tensors.map(\.layerClass)
    layers = tensors.map { $0.layer ?? -1 }
    quantizable = tensors.indices.filter { [tensors] in tensors[$0].isQuantizable }
    let architecture = model.architecture
    kept = Set(
      quantizable.filter { [tensors] in
        ArchitectureRules.keepsType(tensors[$0].name, architecture: architecture)
      })
    let mixTensors = MixTensors(model)
    stocks = StockMix.allCases.flatMap { mix in
      let types = [true, false].map { mix.types(for: model, mixTensors, hasImportance: $0) }
      return zip([true, false], types).map { hasImportance, mixTypes in
        Stock(mix: mix, hasImportance: hasImportance, types: mixTypes, isPlain: types[0] == types[1])
      }
    }
  }

  /// The shortest recipe that gives these types, in the order of the model's tensors.
  func recipe(for types: [GGMLType]) -> Recipe {
    var weights: [GGMLType: Int] = [:]
    for index in quantizable { weights[types[index], default: 0] += tensors[index].shape.count }
    let base = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
    var result = Recipe(base: .type(base), rules: rules(for: types, base: base) { _ in true })
    for (stock, _) in nearest(to: types).prefix(3) {
      let rules = rules(for: types, base: nil) {
        stock.types[$0] != types[$0] || kept.contains($0) && types[$0].isQuantized
      }
      guard rules.count < result.rules.count else { continue }
      result = Recipe(
        base: .mix(stock.mix, hasImportance: stock.isPlain ? nil : stock.hasImportance), rules: rules)
    }
    return result
  }

  /// All stock mixes, sorted by the number of weights with another type.
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

  /// Classes of tensors with the same type in the same layers (nil: all layers).
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

  /// Rules for the tensors that `isConcerned` selects. If all tensors of a class are selected, the rule for the
  /// commonest type does not name layers, and is omitted if the type is the base.
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
  /// The difference between a stock mix and a model's types.
  public struct Nearness: Sendable, Equatable {
    /// The mix.
    public let mix: StockMix
    /// Whether it is the mix for an importance matrix.
    public let hasImportance: Bool
    /// The number of tensors with another type.
    public let differing: Int
    /// The number of weights in these tensors.
    public let weights: Int
  }

  /// All stock mixes, sorted by the number of weights with another type.
  public static func nearest(to model: any ModelSource) -> [Nearness] {
    RecipeExplainer(model).nearest(to: model.tensors.map(\.type)).map(\.nearness)
  }
}

extension String {
  /// A pattern that matches only this text. Names come from files and may contain any character.
  fileprivate var escapedForPattern: String {
    String(flatMap { #"\*?+[](){}^$|."#.contains($0) ? ["\\", $0] : [$0] })
  }
}
