import Tensors

/// Records the progress of a run, and stops it at a chosen point.
public final class RunRecorder: RunObserver {
  public private(set) var heard: [RunProgress] = []
  public private(set) var notes: [any RunNote] = []
  public private(set) var pauses = 0
  private let onAdvance: (RunRecorder) throws -> Void
  private let onPause: (RunRecorder) throws -> Void

  public init(
    onAdvance: @escaping (RunRecorder) throws -> Void = { _ in },
    onPause: @escaping (RunRecorder) throws -> Void = { _ in }
  ) {
    self.onAdvance = onAdvance
    self.onPause = onPause
  }

  public func advance(_ progress: RunProgress) throws {
    heard.append(progress)
    try onAdvance(self)
  }

  public func note(_ note: any RunNote) { notes.append(note) }

  public func pause() throws {
    pauses += 1
    try onPause(self)
  }

  /// The different steps, in order.
  public var steps: [Int] { heard.map(\.step).reduce(into: []) { if $0.last != $1 { $0.append($1) } } }

  /// Whether no fraction is below an earlier one, and all are from 0 to 1.
  public var isOrdered: Bool {
    zip(heard, heard.dropFirst()).allSatisfy { $0.fraction <= $1.fraction }
      && heard.allSatisfy { (0...1).contains($0.fraction) }
  }
}

/// The error with which a recorder stops a run.
public struct StoppedByTest: Error {
  public init() {}
}
