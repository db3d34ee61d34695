import GGUF
import Tensors

extension Recipe {
  /// The rules that a file's types follow: the shortest of a base type with rules and of a stock mix with rules.
  /// Applied to the model's shapes, it gives exactly these types.
  public init(explaining model: any ModelSource) {
    let types = model.tensors.map(\.type)
    var weights: [GGMLType: Int] = [:]
    for tensor in model.tensors where tensor.isQuantizable { weights[tensor.type, default: 0] += tensor.shape.count }
    let base = weights.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f16
    self.init(base: .type(base), rules: Self.rules(for: model, base: base) { _ in true })
    for nearest in StockMix.nearest(to: model).prefix(3) {
      let stock = nearest.mix.types(for: model, hasImportance: nearest.hasImportance)
      let isPlain = nearest.mix.types(for: model, hasImportance: !nearest.hasImportance) == stock
      let candidate = Recipe(
        base: .mix(nearest.mix, hasImportance: isPlain ? nil : nearest.hasImportance),
        rules: Self.rules(for: model, base: nil) { stock[$0] != types[$0] })
      if candidate.rules.count < rules.count { self = candidate }
    }
  }

  /// Tensors of some layers (all where nil) whose classes share a type.
  private struct Group {
    let layers: Set<Int>?
    let type: GGMLType
    let isInLayers: Bool
    var classes: [String]

    var rule: TypeRule {
      let names = classes.map { $0.replacing(".", with: "\\.") }
      let joined = names.count == 1 ? names[0] : "(" + names.joined(separator: "|") + ")"
      let text =
        if let layers { "^blk\\.\(LayerPattern.regex(for: layers))\\.\(joined)" } else {
          isInLayers ? "\\.\(joined)" : "^\(joined)"
        }
      guard let pattern = try? TensorPattern(text) else { preconditionFailure("pattern \(text)") }
      return TypeRule(pattern: pattern, type: type)
    }
  }

  /// Rules for the tensors at some places in the model. Where a class is concerned as a whole, its commonest type needs
  /// no layers, and no rule at all where it is the base.
  private static func rules(
    for model: any ModelSource, base: GGMLType?, where isConcerned: (Int) -> Bool
  ) -> [TypeRule] {
    var classes: [String: [GGMLType: Set<Int>]] = [:]
    var sizes: [String: Int] = [:]
    var order: [String] = []
    for (index, tensor) in model.tensors.enumerated() where tensor.isQuantizable {
      let name = tensor.layerClass
      sizes[name, default: 0] += 1
      guard isConcerned(index) else { continue }
      if classes[name] == nil { order.append(name) }
      classes[name, default: [:]][tensor.type, default: []].insert(tensor.layer ?? -1)
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
    let tensors = MixTensors(model)
    let all = allCases.flatMap { mix in
      [true, false].map { hasImportance in
        let types = mix.types(for: model, tensors, hasImportance: hasImportance)
        let differing = zip(model.tensors, types).filter { $0.0.type != $0.1 }
        return Nearness(
          mix: mix, hasImportance: hasImportance, differing: differing.count,
          weights: differing.reduce(0) { $0 + $1.0.shape.count })
      }
    }
    return all.enumerated().sorted {
      ($0.element.weights, $0.element.differing, $0.offset) < ($1.element.weights, $1.element.differing, $1.offset)
    }.map(\.element)
  }
}

extension TensorInfo {
  /// The name without its layer: `attn_v.weight`; what tensors of all layers share.
  public var layerClass: String {
    guard let layer, let rest = name.split(separator: ".", maxSplits: 2).last, name.hasPrefix("blk.\(layer).") else {
      return name
    }
    return String(rest)
  }
}
