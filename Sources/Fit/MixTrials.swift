import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Runs mixes of one model side by side and measures each one's drift, without writing a file.
///
/// Mixes that agree up to a layer share its states; those that agree in a layer share the reading of its weights.
public final class MixTrials {
  public let source: any ModelSource
  private let importance: Importance?
  private let options: ForwardOptions
  private let pass: ForwardPass
  private let encoded: EncodedTensors

  public init(source: any ModelSource, importance: Importance?, options: ForwardOptions) throws {
    self.source = source
    self.importance = importance
    self.options = options
    pass = try ForwardPass(source: source, options: options)
    encoded = EncodedTensors(limit: options.memory / 4)
  }

  /// The drift of each mix (types in the source's order) from the source, in their order.
  ///
  /// - Parameter progress: called with the layers done, of how many; may throw to stop.
  public func drifts(
    of mixes: [[GGMLType]], windows: ScoringWindows, progress: (Int, Int) throws -> Void = { _, _ in }
  ) throws -> [Drift] {
    // Number 0 is the reference.
    let all = [source.tensors.map(\.type)] + mixes
    let places = Dictionary(grouping: source.tensors.indices) { source.tensors[$0].layer ?? -1 }
    func part(_ mix: Int, _ layer: Int) -> [GGMLType] { (places[layer] ?? []).map { all[mix][$0] } }
    func mixed(_ mix: Int, _ layer: Int) throws -> MixedSource {
      var types: [String: GGMLType] = [:]
      for index in places[layer] ?? [] where all[mix][index] != source.tensors[index].type {
        try encoded.prepare(source.tensors[index], as: all[mix][index], of: source, importance)
        types[source.tensors[index].name] = all[mix][index]
      }
      return MixedSource(base: source, types: types, importance: importance, encoded: encoded)
    }
    // Branches of mixes that are the same so far.
    var branches: [(mixes: [Int], states: HiddenStates)] = []
    for (_, members) in grouped(Array(all.indices), by: { part($0, -1) }) {
      let states = try pass.embed(windows.windows, copies: all.count, source: try mixed(members[0], -1))
      branches.append((members, states))
    }
    let layers = pass.decoder.layerCount
    for layer in 0..<layers {
      var split: [(mixes: [Int], states: HiddenStates)] = []
      for branch in branches {
        for (_, members) in grouped(branch.mixes, by: { part($0, layer) }) { split.append((members, branch.states)) }
      }
      branches = []
      for (_, together) in grouped(Array(split.indices), by: { part(split[$0].mixes[0], layer) }) {
        var states = together.map { split[$0].states }
        try pass.layer(layer, &states, source: try mixed(split[together[0]].mixes[0], layer))
        for (place, index) in together.enumerated() { branches.append((split[index].mixes, states[place])) }
      }
      try progress(layer + 1, layers)
    }
    var owner = [Int](repeating: 0, count: all.count)
    for (index, branch) in branches.enumerated() { for mix in branch.mixes { owner[mix] = index } }
    let reference = try pass.finish(branches[owner[0]].states, scored: windows.scored)
    let each = max(1, windows.rowCount * pass.decoder.width * 4)
    let share = max(1, options.memory / 4 / each)
    var result: [Drift] = []
    for start in stride(from: 1, to: all.count, by: share) {
      let candidates = try (start..<min(all.count, start + share)).map { mix in
        (
          name: "mix \(mix)",
          source: try pass.finish(
            branches[owner[mix]].states, scored: windows.scored, source: try mixed(mix, -1)) as any LogitSource
        )
      }
      result += try Drift.measure(
        base: (source.name, reference), candidates: candidates, windows: windows, memory: options.scoringMemory)
    }
    return result
  }

  /// Groups in the order of their first members.
  private func grouped<Key: Hashable>(_ members: [Int], by key: (Int) -> Key) -> [(key: Key, members: [Int])] {
    var places: [Key: Int] = [:]
    var groups: [(key: Key, members: [Int])] = []
    for member in members {
      let own = key(member)
      if let place = places[own] {
        groups[place].members.append(member)
      } else {
        places[own] = groups.count
        groups.append((own, [member]))
      }
    }
    return groups
  }
}

extension Drift {
  /// Mean divergence in nats.
  public var mean: Double { divergences.reduce(0, +) / Double(max(1, positions)) }
}

extension ForwardOptions {
  /// Bytes for tiles of logits: an eighth, and as many for states that have to be loaded. Encoded tensors and final
  /// states have a quarter each.
  var scoringMemory: Int { memory / 8 }
}
