/// The blocks for multi-token prediction (MTP, NextN) of a model, which follow its layers.
enum PredictionBlocks: Sendable, Equatable {
  /// As many as config.json declares.
  case declared
  /// As many as the checkpoint stores.
  case stored(Int)
  /// None, by the user's choice.
  case dropped

  /// The number of blocks, given the one that config.json declares.
  func count(declared: Int) -> Int {
    switch self {
    case .declared: declared
    case .stored(let count): count
    case .dropped: 0
    }
  }
}

extension SafetensorsSet {
  /// The number of blocks under `mtp.layers.`, or behind the model's layers.
  func predictionBlocks(layers: Int) -> Int {
    func count(_ prefix: String) -> Int {
      let indices = names.lazy.filter { $0.hasPrefix(prefix) }.compactMap { name in
        Int(name.dropFirst(prefix.count).prefix { $0 != "." })
      }
      return (indices.max() ?? -1) + 1
    }
    return max(count("mtp.layers."), count("model.layers.") - layers)
  }
}
