import Tensors

/// Reports the progress of a run with error feedback in work instead of bytes: the pass takes time before the first byte is
/// written, and bytes of some types take more time than those of others.
final class FeedbackProgress: RunObserver {
  private let base: any RunObserver
  private var work: FeedbackWork
  /// Rows of every tensor.
  private let rows: [Int]
  /// Seconds of the pass, and of encoding the tensors that this run has to write.
  private var pass: Double
  private var encoding: Double
  /// The fraction of this run's part of the pass that is done.
  private var passed = 0.0
  /// The fraction of the pass that an earlier run has done; nil before it is known.
  private var resumedAt: Double?
  /// Seconds of rows that were encoded in the pass.
  private var encoded = 0.0
  /// The fraction of bytes that were written when the pass ended.
  private var bytes = 0.0
  private var isPassing = true

  init(_ base: any RunObserver, work: FeedbackWork, rows: [Int]) {
    (self.base, self.work, self.rows, pass) = (base, work, rows, work.pass)
    encoding = work.encoding.values.reduce(0, +)
  }

  /// Leaves out the tensors that an earlier run has written.
  func start(without written: some Sequence<Int>, hasPass: Bool) {
    for index in written { work.encoding[index] = nil }
    encoding = work.encoding.values.reduce(0, +)
    if !hasPass { pass = 0 }
  }

  /// - Parameters:
  ///   - fraction: of the whole pass.
  ///   - step: the number of layers that are done.
  func advancePass(_ fraction: Double, step: Int) {
    let range = work.passed
    let fraction = min(
      1, max(0, fraction - range.lowerBound) / max(range.upperBound - range.lowerBound, 1e-9))
    let start = resumedAt ?? (step > 0 ? fraction : 0)
    resumedAt = start
    passed = start < 1 ? min(1, max(passed, (fraction - start) / (1 - start))) : 1
  }

  /// Counts rows of a tensor that were encoded in the pass.
  func encoded(_ count: Int, of tensor: Int) {
    encoded += (work.encoding[tensor] ?? 0) * Double(count) / Double(max(1, rows[tensor]))
  }

  /// Ends the pass: all further bytes are those of tensors that it does not encode.
  func endPass() { (passed, isPassing) = (1, false) }

  func advance(_ progress: RunProgress) throws {
    if isPassing { bytes = progress.fraction }
    let share = isPassing ? 0 : bytes < 1 ? min(1, max(0, (progress.fraction - bytes) / (1 - bytes))) : 1
    let done = pass * passed + encoded + (encoding - encoded) * share
    try base.advance(
      RunProgress(
        fraction: min(1, max(0, done / max(pass + encoding, 1e-9))), step: progress.step, stepCount: progress.stepCount,
        detail: progress.detail))
  }

  func begin(_ stage: any RunStage) { base.begin(stage) }
  func end(_ stage: any RunStage) { base.end(stage) }
  func note(_ note: any RunNote) { base.note(note) }
  func pause() throws { try base.pause() }
}
