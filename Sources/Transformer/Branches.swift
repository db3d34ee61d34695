import GGUF
import Tensors

/// Runs many variants of one model over the same windows, layer after layer.
///
/// A variant is the model with some weights replaced. Variants that are equal in all layers so far share their states,
/// and those that are equal in a layer share the reading of its weights. A variant therefore costs the computation from
/// its first difference on, and the reading of the layers in which it differs.
public struct Branches {
  private let pass: ForwardPass
  private let windows: [[Int32]]

  /// The weights of a variant in a layer, or in the embedding (nil).
  public typealias Source = (_ variant: Int, _ layer: Int?) throws -> any ModelSource

  /// - Parameters:
  ///   - pass: the forward pass of the unchanged model.
  ///   - windows: token ids, all windows of one length.
  public init(pass: ForwardPass, windows: [[Int32]]) {
    self.pass = pass
    self.windows = windows
  }

  /// Variants that are equal so far, and their states; nil while a layer changes these.
  private struct Branch {
    var variants: [Int]
    var states: HiddenStates?
  }

  /// Runs all layers.
  ///
  /// - Parameters:
  ///   - variants: the number of variants.
  ///   - progress: its steps are layers.
  ///   - key: equal for two variants if and only if they have the same weights in a layer, or in the embedding (nil).
  ///   - source: the weights of a variant.
  /// - Returns: each variant's states after the last layer; equal variants share memory.
  /// - Throws: ``ForwardError``, and errors of the sources and of the observer.
  public func run<Key: Hashable>(
    variants: Int, progress: any RunObserver = NoObserver(), key: (_ variant: Int, _ layer: Int?) -> Key, source: Source
  ) throws -> [HiddenStates] {
    var branches = try grouped(Array(0..<variants)) { key($0, nil) }.map { members in
      Branch(
        variants: members, states: try pass.embed(windows, copies: variants, source: try source(members[0], nil)))
    }
    let layers = pass.decoder.layerCount
    for layer in 0..<layers {
      // States are moved, not copied: those that only one branch holds are changed in place.
      var split: [Branch] = []
      for index in branches.indices {
        let states = branches[index].states
        branches[index].states = nil
        for members in grouped(branches[index].variants, by: { key($0, layer) }) {
          split.append(Branch(variants: members, states: states))
        }
      }
      for sharing in grouped(Array(split.indices), by: { key(split[$0].variants[0], layer) }) {
        var states = sharing.compactMap { split[$0].states }
        for index in sharing { split[index].states = nil }
        try pass.layer(layer, &states, source: try source(split[sharing[0]].variants[0], layer))
        for (index, state) in zip(sharing, states) { split[index].states = state }
      }
      branches = split
      try progress.advance(
        RunProgress(
          fraction: Double(layer + 1) / Double(layers), step: layer + 1, stepCount: layers,
          detail: "\(variants) variants, layer \(layer + 1) of \(layers)"))
    }
    var result = [HiddenStates?](repeating: nil, count: variants)
    for branch in branches { for variant in branch.variants { result[variant] = branch.states } }
    return result.compactMap { $0 }
  }

  /// Groups of members with equal keys, in the order of their first members.
  private func grouped<Key: Hashable>(_ members: [Int], by key: (Int) throws -> Key) rethrows -> [[Int]] {
    var slots: [Key: Int] = [:]
    var groups: [[Int]] = []
    for member in members {
      let key = try key(member)
      if let slot = slots[key] {
        groups[slot].append(member)
      } else {
        slots[key] = groups.count
        groups.append([member])
      }
    }
    return groups
  }
}
