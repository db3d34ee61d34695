/// The hidden states of all windows between two layers. A copy shares memory until one of the two goes on.
public struct HiddenStates: Sendable {
  /// The layer that comes next.
  public internal(set) var layer: Int
  var activations: Activations
  /// What the run that they belong to may take.
  var plan: ForwardPlan
}
