/// Receives the progress of a long run and may cancel it.
///
///     struct Printing: RunObserver {
///       func advance(_ progress: RunProgress) throws {
///         if isCancelled { throw CancellationError() }
///         print("\(progress.fraction * 100) %, \(progress.detail)")
///       }
///     }
///
/// All methods are called on the thread that started the run, between two parts of its work. An error that they throw
/// ends the run, which rethrows it; no file appears under a final name.
///
/// Stages and notes are facts, which an observer puts into words. Each module has its own types for them.
public protocol RunObserver {
  /// Called before the first part of a stage, in a run that has several.
  func begin(_ stage: any RunStage)

  /// Called after every part of the work.
  func advance(_ progress: RunProgress) throws

  /// Called after the last part of a stage.
  func end(_ stage: any RunStage)

  /// Receives a remark.
  func note(_ note: any RunNote)

  /// Called where a later run could resume. If this throws, a run that keeps snapshots writes one before it ends.
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

/// The progress of a run.
public struct RunProgress: Sendable, Equatable {
  /// The completed share of the work, 0 to 1.
  public let fraction: Double
  /// The number of completed steps, such as the layers of a forward pass. 0 of 0 where a run has no steps.
  public let step: Int
  /// The number of all steps.
  public let stepCount: Int
  /// The next part of the work, for a person to read; may be empty.
  public let detail: String

  /// - Parameters:
  ///   - fraction: the completed share of the work, 0 to 1.
  ///   - step: the number of completed steps.
  ///   - stepCount: the number of all steps.
  ///   - detail: the next part of the work.
  public init(fraction: Double, step: Int = 0, stepCount: Int = 0, detail: String = "") {
    self.fraction = fraction
    self.step = step
    self.stepCount = stepCount
    self.detail = detail
  }
}

/// An observer that does nothing.
public struct NoObserver: RunObserver {
  /// An observer that does nothing.
  public init() {}
  public func advance(_ progress: RunProgress) {}
}

/// Reports the progress of a run that is a part of another run.
package struct PartObserver: RunObserver {
  private let whole: any RunObserver
  private let start: Double
  private let share: Double

  /// - Parameters:
  ///   - start: the fraction of the whole that was done before the part.
  ///   - share: the fraction of the whole that the part is.
  package init(of whole: any RunObserver, from start: Double, share: Double) {
    self.whole = whole
    self.start = start
    self.share = share
  }

  /// Reports the fraction of the whole run.
  package func advance(_ progress: RunProgress) throws {
    try whole.advance(
      RunProgress(
        fraction: start + share * progress.fraction, step: progress.step, stepCount: progress.stepCount,
        detail: progress.detail))
  }

  package func begin(_ stage: any RunStage) { whole.begin(stage) }
  package func end(_ stage: any RunStage) { whole.end(stage) }
  package func note(_ note: any RunNote) { whole.note(note) }
  package func pause() throws { try whole.pause() }
}
