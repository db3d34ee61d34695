import GGUF
import Tensors

// Several sets of states over the same windows, which go through a layer in one reading of its weights.

extension ForwardPass {
  /// The bytes that a caller may use beside `copies` sets of states.
  ///
  /// - Throws: ``ForwardError/noWindows`` or ``ForwardError/budgetTooSmall(bytes:minimum:)``.
  public func sideShares(windows: [[Int32]], copies: Int) throws -> MemoryBudget.SideShares {
    MemoryBudget.side(try plan(sideBySide: windows.count * copies, length: windows.first?.count ?? 0).sideBytes)
  }

  private func plan(sideBySide windows: Int, length: Int) throws -> ForwardPlan {
    guard windows > 0, length > 0 else { throw ForwardError.noWindows }
    var purpose = ForwardPlan.Purpose(results: options.results)
    purpose.isSideBySide = true
    return try ForwardPlan(
      decoder, windows: windows, length: length, budget: options.budget, engine: engine, purpose: purpose)
  }

  /// The embedded tokens of all windows. If `copies` sets of states exceed the memory together, every set is spilled.
  ///
  /// - Parameter source: the embedding's source; nil for the model.
  package func embed(_ windows: [[Int32]], copies: Int, source: (any ModelSource)? = nil) throws -> HiddenStates {
    guard let length = windows.first?.count, length > 0 else { throw ForwardError.noWindows }
    let plan = try plan(sideBySide: windows.count * copies, length: length)
    // Full slabs, so that sets can be joined.
    var perSlab = min(windows.count, plan.windowsPerSlab)
    while windows.count % perSlab != 0 { perSlab -= 1 }
    return try embed(windows, plan, source: source, windowsPerSlab: perSlab)
  }

  /// Runs one layer for all sets in one reading of its weights. All sets are results of ``embed(_:copies:source:)``
  /// with the same number and length of windows.
  package func layer(_ index: Int, _ states: inout [HiddenStates], source: (any ModelSource)? = nil) throws {
    guard !states.isEmpty else { return }
    let count = states.count
    let plan = states[0].plan
    var joined = HiddenStates(
      layer: index, activations: Activations(joining: states.map(\.activations)), plan: plan)
    for key in states[0].carried.keys {
      joined.carried[key] = Activations(joining: states.compactMap { $0.carried[key] })
    }
    // Without other owners, the slabs of the joined states are changed in place.
    states = []
    try layer(index, &joined, source: source)
    states = joined.activations.split(count).map { HiddenStates(layer: index + 1, activations: $0, plan: plan) }
    for (key, activations) in joined.carried {
      for (copy, part) in activations.split(count).enumerated() { states[copy].carried[key] = part }
    }
  }
}
