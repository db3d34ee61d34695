import GGUF
import Tensors

/// Several runs over the same windows side by side: what probes and trials of mixes are. They share a reading of the
/// weights wherever they share the weights.
extension ForwardPass {
  /// The bytes that a caller may keep beside `copies` sets of states.
  ///
  /// - Throws: ``ForwardError/noWindows`` and ``ForwardError/budgetTooSmall(bytes:least:)``
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

  /// The embedded tokens of all windows, with room planned for `copies` sets of states: where all of them together
  /// exceed the memory, each goes to the scratch file.
  ///
  /// - Parameter source: may replace the embedding.
  public func embed(_ windows: [[Int32]], copies: Int, source: (any ModelSource)? = nil) throws -> HiddenStates {
    guard let length = windows.first?.count, length > 0 else { throw ForwardError.noWindows }
    let plan = try plan(sideBySide: windows.count * copies, length: length)
    // Whole slabs, so that sets can be joined.
    var perSlab = min(windows.count, plan.windowsPerSlab)
    while windows.count % perSlab != 0 { perSlab -= 1 }
    return try embed(windows, plan, source: source, windowsPerSlab: perSlab)
  }

  /// Runs one layer for all sets in one reading of its weights. They have to come from
  /// ``embed(_:copies:source:)`` over windows of one number and length.
  public func layer(_ index: Int, _ states: inout [HiddenStates], source: (any ModelSource)? = nil) throws {
    guard !states.isEmpty else { return }
    let count = states.count
    let plan = states[0].plan
    var joined = HiddenStates(
      layer: index, activations: Activations(joining: states.map(\.activations)), plan: plan)
    // The slabs belong to the joined states alone, and are changed where they lie.
    states = []
    try layer(index, &joined, source: source)
    states = joined.activations.split(count).map { HiddenStates(layer: index + 1, activations: $0, plan: plan) }
  }
}
