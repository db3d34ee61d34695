import Tensors
import Transformer

/// Follows the long runs of a fit, and may stop them. The wording is the observer's.
public protocol FitObserver {
  func begin(_ stage: FitStage)
  /// - Throws: anything, to stop the run where it is.
  func advance(_ step: FitStep) throws
  func end(_ stage: FitStage)
  func note(_ note: FitNote)
  /// Called where a run can be stopped and goes on from the same point later.
  ///
  /// - Throws: anything, to stop the run.
  func pause() throws
}

/// A run that takes long.
public enum FitStage: Sendable {
  /// A forward pass, with what it will take in seconds. Where `keepsLayers`, a stop waits for the end of a layer, where
  /// ``FitObserver/pause()`` is called.
  case importance(model: String, plan: ForwardPlan, tokens: Int, seconds: Double, keepsLayers: Bool)
  case sensitivities(model: String, measurements: Int)
  case search(model: String, rounds: Int)
  case comparison(model: String)
}

/// How far a stage is.
public enum FitStep: Sendable, Equatable {
  /// Layers done, of how many.
  case layers(Int, of: Int)
  /// A forward pass over all of the text.
  case pass(RunProgress)
  /// Measurements done, of how many; the tensor whose errors come next.
  case errors(Int, tensor: String)
  /// Measurements done; probes that run side by side, and their layers done, of how many.
  case probes(Int, count: Int, layers: Int, of: Int)
  /// A search's round, and the divergence of the best mix so far.
  case round(Int, divergence: Double)
  /// Trials of a search that has ended.
  case trials(Int)
}

/// What is worth telling on the way.
public enum FitNote: Sendable, Equatable {
  case importanceReused(path: String)
  /// Tensors that no token of the text went through, or that no forward pass runs.
  case importanceMissing(model: String, tensors: [String])
  case sensitivitiesReused(path: String, isComplete: Bool)
  /// An interrupted run had chosen the types.
  case typesReused
  /// Sensitivities that were given are those of another importance matrix.
  case otherImportance
}

/// Follows nothing, and never stops.
public struct SilentObserver: FitObserver {
  public init() {}
  public func begin(_ stage: FitStage) {}
  public func advance(_ step: FitStep) {}
  public func end(_ stage: FitStage) {}
  public func note(_ note: FitNote) {}
  public func pause() {}
}

/// How the runs of a fit work.
public struct FitRun {
  public var forward: ForwardOptions
  /// Of the program, which what is kept depends on.
  public var version: String
  public var observer: any FitObserver
  /// From one snapshot of a forward pass to the next.
  public var snapshotSeconds = 600.0

  public init(forward: ForwardOptions = ForwardOptions(), version: String, observer: any FitObserver = SilentObserver())
  {
    self.forward = forward
    self.version = version
    self.observer = observer
  }
}
