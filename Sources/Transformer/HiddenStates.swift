/// The hidden states of all windows between two layers. Copies share memory until one of them is changed.
public struct HiddenStates: Sendable {
  /// The index of the next layer.
  public internal(set) var layer: Int
  var activations: Activations
  /// The plan of their run.
  var plan: ForwardPlan
}
