/// The hidden states of all windows between two layers. Copies share memory until one of them is changed.
public struct HiddenStates: Sendable {
  /// The index of the next layer.
  public internal(set) var layer: Int
  var activations: Activations
  /// States that earlier layers keep for later ones.
  var carried: [CarriedStates: Activations] = [:]
  /// The plan of their run.
  var plan: ForwardPlan
}
