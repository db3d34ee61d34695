import Foundation
import Synchronization

/// What a long command says on standard error while it works: one repainted line on a terminal, a line a minute
/// elsewhere, nothing with `--quiet`. Standard output stays free for results.
final class Progress: Sendable {
  private struct State {
    var stage: String
    var unit: Unit
    var total: Double
    var started = ContinuousClock.now
    var painted: ContinuousClock.Instant
    var done = 0.0
    /// What an earlier run had done.
    var first = 0.0
    var detail = ""
  }
  enum Unit: Sendable { case bytes, tokens, steps }

  private let state: Mutex<State?>
  private let quiet: Bool
  private let isTerminal = isatty(2) == 1

  init(quiet: Bool) {
    self.quiet = quiet
    state = Mutex(nil)
  }

  /// - Parameter from: what is done already, so that it does not count as this run's speed.
  func start(_ stage: String, total: Int, unit: Unit, from: Int = 0) {
    let now = ContinuousClock.now
    state.withLock {
      $0 = State(
        stage: stage, unit: unit, total: Double(total), painted: now - .seconds(3600), done: Double(from),
        first: Double(from))
    }
    if !isTerminal { paint(at: now, final: false) }
  }

  /// Tells how much of the stage is done; safe from any thread.
  func update(_ done: Int, _ detail: String = "") {
    let now = ContinuousClock.now
    let due = state.withLock { state -> Bool in
      guard state != nil else { return false }
      state!.done = Double(done)
      state!.detail = detail
      return now - state!.painted > (isTerminal ? .milliseconds(100) : .seconds(60))
    }
    if due { paint(at: now, final: false) }
  }

  /// Ends the stage with one summary line.
  func finish(_ summary: String? = nil) {
    let now = ContinuousClock.now
    guard let state = state.withLock({ $0 }) else { return }
    if !quiet {
      let seconds = (now - state.started).seconds
      let text = summary ?? "\(state.stage): \(amount(state.total, state.unit))"
      emit((isTerminal ? "\r\u{1B}[K" : "") + "\(text) in \(Figures.duration(seconds))\n")
    }
    self.state.withLock { $0 = nil }
  }

  /// A line of its own: a warning, a plan.
  func note(_ text: String) {
    guard !quiet else { return }
    emit((isTerminal ? "\r\u{1B}[K" : "") + text + "\n")
  }

  private func paint(at now: ContinuousClock.Instant, final: Bool) {
    guard !quiet else { return }
    let line = state.withLock { state -> String? in
      guard state != nil else { return nil }
      state!.painted = now
      let state = state!
      let seconds = (now - state.started).seconds
      var text = "\(state.stage) \(amount(state.done, state.unit)) of \(amount(state.total, state.unit))"
      let own = state.done - state.first
      if own > 0, seconds > 1 {
        text += ", \(rate(own / seconds, state.unit))/s"
        text += ", \(Figures.duration((state.total - state.done) * seconds / own)) left"
      }
      return state.detail.isEmpty ? text : text + "  " + state.detail
    }
    guard let line else { return }
    emit(isTerminal ? "\r\u{1B}[K" + line : line + "\n")
  }

  private func amount(_ value: Double, _ unit: Unit) -> String {
    switch unit {
    case .bytes: Figures.bytes(Int(value))
    case .tokens: "\(Figures.grouped(Int(value))) tokens"
    case .steps: Figures.grouped(Int(value))
    }
  }

  /// Large models do a few tokens a second, of which a fraction matters.
  private func rate(_ value: Double, _ unit: Unit) -> String {
    guard unit != .bytes, value < 100 else { return amount(value, unit) }
    return Figures.significant(value, 3) + (unit == .tokens ? " tokens" : "")
  }

  private func emit(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
