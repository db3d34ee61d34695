import GGUF
import Tensors

/// Many variants of one model over the same windows, side by side and layer-major.
///
/// A variant is the model with some weights replaced. Variants that agree in all layers so far share their states, and
/// those that agree in a layer share the reading of its weights. So a variant costs the layers from its first difference
/// on, and the readings of the layers where it differs.
public struct Branches {
  public let pass: ForwardPass
  public let windows: [[Int32]]

  /// The weights of a variant in a layer, or with nil its embedding.
  public typealias Source = (_ variant: Int, _ layer: Int?) throws -> any ModelSource

  public init(pass: ForwardPass, windows: [[Int32]]) {
    self.pass = pass
    self.windows = windows
  }

  /// Variants that are the same so far, and their states; nil while these are at work.
  private struct Branch {
    var variants: [Int]
    var states: HiddenStates?
  }

  /// Runs all layers.
  ///
  /// - Parameters:
  ///   - key: equal for two variants exactly where they have the same weights in a layer, or the same embedding (nil).
  ///   - progress: its steps are layers.
  /// - Returns: each variant's states behind the last layer; variants without a difference share memory.
  public func run<Key: Hashable>(
    variants: Int, progress: any RunObserver = NoObserver(), key: (_ variant: Int, _ layer: Int?) -> Key, source: Source
  ) throws -> [HiddenStates] {
    var branches = try grouped(Array(0..<variants)) { key($0, nil) }.map { members in
      Branch(
        variants: members, states: try pass.embed(windows, copies: variants, source: try source(members[0], nil)))
    }
    let layers = pass.decoder.layerCount
    for layer in 0..<layers {
      // Moved into the parts, the last of which holds them alone: states that nobody else needs are changed in place.
      var parts: [Branch] = []
      for index in branches.indices {
        let states = branches[index].states
        branches[index].states = nil
        for members in grouped(branches[index].variants, by: { key($0, layer) }) {
          parts.append(Branch(variants: members, states: states))
        }
      }
      for together in grouped(Array(parts.indices), by: { key(parts[$0].variants[0], layer) }) {
        var states = together.compactMap { parts[$0].states }
        for index in together { parts[index].states = nil }
        try pass.layer(layer, &states, source: try source(parts[together[0]].variants[0], layer))
        for (index, state) in zip(together, states) { parts[index].states = state }
      }
      branches = parts
      try progress.advance(
        RunProgress(
          fraction: Double(layer + 1) / Double(layers), step: layer + 1, stepCount: layers,
          detail: "\(variants) variants, layer \(layer + 1) of \(layers)"))
    }
    var result = [HiddenStates?](repeating: nil, count: variants)
    for branch in branches { for variant in branch.variants { result[variant] = branch.states } }
    return result.compactMap { $0 }
  }

  /// Members with equal keys together, in the order of first members.
  private func grouped<Key: Hashable>(_ members: [Int], by key: (Int) throws -> Key) rethrows -> [[Int]] {
    var slots: [Key: Int] = [:]
    var groups: [[Int]] = []
    for member in members {
      let own = try key(member)
      if let slot = slots[own] {
        groups[slot].append(member)
      } else {
        slots[own] = groups.count
        groups.append([member])
      }
    }
    return groups
  }
}
