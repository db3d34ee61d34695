import GGUF

/// The number of tokens that each expert of a layer processed.
public struct ExpertCoverage: Sendable, Equatable {
  /// The layer's index.
  public let layer: Int
  /// Tokens by expert.
  public let tokens: [Int]

  /// The mean number of tokens per expert.
  public var evenShare: Double { Double(tokens.reduce(0, +)) / Double(tokens.count) }

  /// The experts with fewer tokens than 5 % of ``evenShare``.
  public var starved: [Int] {
    tokens.indices.filter { Double(tokens[$0]) < evenShare * ImportanceMatrix.starvedShare }
  }
}

extension ImportanceMatrix {
  /// The coverage of every layer with experts, in the order of layers.
  public var coverage: [ExpertCoverage] {
    var layers: [Int: [Int]] = [:]
    for (name, entry) in entries where entry.counts.count > 1 && name.hasSuffix("_exps.weight") {
      if let layer = TensorName(name).layer, layers[layer] == nil { layers[layer] = entry.counts.map { Int($0) } }
    }
    return layers.keys.sorted().map { ExpertCoverage(layer: $0, tokens: layers[$0]!) }
  }
}
