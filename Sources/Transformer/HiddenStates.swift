/// The hidden states of all windows between two layers. A copy shares memory until one of the two goes on.
public struct HiddenStates: Sendable {
  /// The layer that comes next.
  public internal(set) var layer: Int
  var activations: Activations
  /// What the run that they belong to may take.
  var plan: ForwardPlan

  /// Windows, and the tokens of each that are still in work.
  public var windowCount: Int { activations.layout.windows }
  public var tokensPerWindow: Int { activations.layout.length }
}
