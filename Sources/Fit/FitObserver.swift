import Tensors
import Transformer

/// Receives the progress of a fit's long runs, and can stop them. The observer words the messages.
public protocol FitObserver {
  func begin(_ stage: FitStage)
  /// - Throws: any error, to stop the run at once.
  func advance(_ step: FitStep) throws
  func end(_ stage: FitStage)
  func note(_ note: FitNote)
  /// Called at points from which a later run can continue.
  ///
  /// - Throws: any error, to stop the run.
  func pause() throws
}

/// A long run.
public enum FitStage: Sendable {
  /// A forward pass, with its estimated seconds. If `keepsLayers` is true, a stop waits for the end of a layer, where
  /// ``FitObserver/pause()`` is called.
  case importance(model: String, plan: ForwardPlan, tokens: Int, seconds: Double, keepsLayers: Bool)
  case sensitivities(model: String, measurements: Int)
  case search(model: String, rounds: Int)
  case comparison(model: String)
}

/// Progress within a stage.
public enum FitStep: Sendable, Equatable {
  /// Finished layers, and their total.
  case layers(Int, of: Int)
  /// Progress of a forward pass over all text.
  case pass(RunProgress)
  /// Finished measurements, and the tensor whose errors are next.
  case errors(Int, tensor: String)
  /// Finished measurements; the number of probes that run side by side, their finished layers, and the total of layers.
  case probes(Int, count: Int, layers: Int, of: Int)
  /// The round of a search, and the divergence of the best mix so far.
  case round(Int, divergence: Double)
  /// The number of trials of a finished search.
  case trials(Int)
}

/// A remark during a fit.
public enum FitNote: Sendable, Equatable {
  case importanceReused(path: String)
  /// Tensors that no token has reached, or that are not part of the forward pass.
  case importanceMissing(model: String, tensors: [String])
  case sensitivitiesReused(path: String, isComplete: Bool)
  /// The types come from an interrupted run.
  case typesReused
  /// The given sensitivities were measured with another importance matrix.
  case otherImportance
}

/// Ignores all progress, and never stops a run.
public struct SilentObserver: FitObserver {
  public init() {}
  public func begin(_ stage: FitStage) {}
  public func advance(_ step: FitStep) {}
  public func end(_ stage: FitStage) {}
  public func note(_ note: FitNote) {}
  public func pause() {}
}

/// Settings that all runs of a fit share.
public struct FitRun {
  public var forward: ForwardOptions
  /// Version of the program. Stored results of another version are not reused.
  public var version: String
  public var observer: any FitObserver
  /// Seconds between two snapshots of a forward pass.
  public var snapshotSeconds = 600.0

  public init(forward: ForwardOptions = ForwardOptions(), version: String, observer: any FitObserver = SilentObserver())
  {
    self.forward = forward
    self.version = version
    self.observer = observer
  }
}
