import Tensors
import Transformer

/// A long run of a fit.
public enum FitStage: RunStage {
  /// A forward pass, with its estimated seconds. If `keepsLayers` is true, a stop waits for the end of a layer, where
  /// `RunObserver.pause()` is called.
  case importance(model: String, plan: ForwardPlan, tokens: Int, seconds: Double, keepsLayers: Bool)
  case sensitivities(model: String, measurements: Int)
  case search(model: String, rounds: Int)
  case comparison(model: String)
}

/// A remark during a fit.
public enum FitNote: RunNote, Equatable {
  case importanceReused(path: String)
  /// Tensors that no token has reached, or that are not part of the forward pass.
  case importanceMissing(model: String, tensors: [String])
  case sensitivitiesReused(path: String, isComplete: Bool)
  /// The types come from an interrupted run.
  case typesReused
  /// The given sensitivities were measured with another importance matrix.
  case otherImportance
  /// The mean divergence of a search's best mix so far, in nats.
  case incumbent(divergence: Double)
  /// The number of mixes that a finished search has measured.
  case searched(trials: Int)
}

/// Settings that all runs of a fit share.
public struct FitRun {
  public var forward: ForwardOptions
  /// Version of the program. Stored results of another version are not reused.
  public var version: String
  public var observer: any RunObserver
  /// Seconds between two snapshots of a forward pass.
  public var snapshotSeconds = 600.0

  public init(forward: ForwardOptions = ForwardOptions(), version: String, observer: any RunObserver = NoObserver()) {
    self.forward = forward
    self.version = version
    self.observer = observer
  }
}
