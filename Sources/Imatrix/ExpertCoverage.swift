import GGUF

/// How many tokens every expert of a layer saw.
public struct ExpertCoverage: Sendable, Equatable {
  public let layer: Int
  /// Tokens by expert.
  public let tokens: [Int]

  /// Tokens that each expert would have seen if all had seen as many.
  public var evenShare: Double { Double(tokens.reduce(0, +)) / Double(tokens.count) }

  /// Experts that saw less than ``ImportanceMatrix/starvedShare`` of an even share.
  public var starved: [Int] {
    tokens.indices.filter { Double(tokens[$0]) < evenShare * ImportanceMatrix.starvedShare }
  }
}

extension ImportanceMatrix {
  /// One for every layer with experts, in order.
  public var coverage: [ExpertCoverage] {
    var layers: [Int: [Int]] = [:]
    for (name, entry) in entries where entry.counts.count > 1 && name.hasSuffix("_exps.weight") {
      if let layer = TensorName(name).layer, layers[layer] == nil { layers[layer] = entry.counts.map { Int($0) } }
    }
    return layers.keys.sorted().map { ExpertCoverage(layer: $0, tokens: layers[$0]!) }
  }
}
