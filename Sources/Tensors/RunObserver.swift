/// Is told how far a long run is, and may stop it: the one way of progress and cancellation.
///
///     struct Printing: RunObserver {
///       func advance(_ progress: RunProgress) throws {
///         if isCancelled { throw CancellationError() }
///         print("\(progress.fraction * 100) %, \(progress.detail)")
///       }
///     }
///
/// All methods are called on the thread that started the run, between two pieces of its work. An error that they throw
/// ends the run, which throws it on: nothing appears under a final name.
///
/// Stages and notes are facts, which an observer words. Each module has types of its own for them.
public protocol RunObserver {
  /// Called before the first piece of work of a stage, in runs that have several.
  func begin(_ stage: any RunStage)

  /// Called after every piece of work.
  func advance(_ progress: RunProgress) throws

  /// Called after the last piece of work of a stage.
  func end(_ stage: any RunStage)

  /// Receives a remark.
  func note(_ note: any RunNote)

  /// Called where a run can be resumed from. A run that keeps snapshots writes one before it ends.
  func pause() throws
}

extension RunObserver {
  /// Does nothing.
  public func begin(_ stage: any RunStage) {}
  /// Does nothing.
  public func end(_ stage: any RunStage) {}
  /// Does nothing.
  public func note(_ note: any RunNote) {}
  /// Never stops the run.
  public func pause() throws {}
}

/// A stage of a long run.
public protocol RunStage: Sendable {}

/// A remark during a long run.
public protocol RunNote: Sendable {}

/// How far a run is.
public struct RunProgress: Sendable, Equatable {
  /// The part of the run's work that is done, 0 to 1.
  public let fraction: Double
  /// Steps that are done, in units of the run: layers of a forward pass, rounds of probes. 0 of 0 where it has none.
  public let step: Int
  /// Steps in all.
  public let stepCount: Int
  /// The piece of work that comes next, for a person to read; may be empty.
  public let detail: String

  /// Progress of a run: see the properties.
  public init(fraction: Double, step: Int = 0, stepCount: Int = 0, detail: String = "") {
    self.fraction = fraction
    self.step = step
    self.stepCount = stepCount
    self.detail = detail
  }
}

/// Listens to nothing.
public struct NoObserver: RunObserver {
  /// The observer.
  public init() {}
  /// Does nothing.
  public func advance(_ progress: RunProgress) {}
}

/// The observer of a run of which another run is a part.
public struct PartObserver: RunObserver {
  private let whole: any RunObserver
  private let start: Double
  private let share: Double

  /// - Parameters:
  ///   - start: the fraction of the whole that was done before the part.
  ///   - share: the fraction of the whole that the part is.
  public init(of whole: any RunObserver, from start: Double, share: Double) {
    self.whole = whole
    self.start = start
    self.share = share
  }

  /// Tells the whole run's observer.
  public func advance(_ progress: RunProgress) throws {
    try whole.advance(
      RunProgress(
        fraction: start + share * progress.fraction, step: progress.step, stepCount: progress.stepCount,
        detail: progress.detail))
  }

  /// Tells the whole run's observer.
  public func begin(_ stage: any RunStage) { whole.begin(stage) }
  /// Tells the whole run's observer.
  public func end(_ stage: any RunStage) { whole.end(stage) }
  /// Tells the whole run's observer.
  public func note(_ note: any RunNote) { whole.note(note) }
  /// Asks the whole run's observer.
  public func pause() throws { try whole.pause() }
}
