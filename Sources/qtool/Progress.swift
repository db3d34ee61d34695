import Foundation
import Synchronization
import Tensors

/// What a long command says on standard error while it works: two repainted lines on a terminal, a line a minute
/// elsewhere, nothing with `--quiet`; and one line for every stage that is done. Standard output stays free for results.
final class Progress: Sendable {
  /// What a stage is counted in.
  enum Unit: Sendable, Equatable {
    case bytes
    case seconds
    case count(String)

    static let tokens = Unit.count("tokens")
    static let positions = Unit.count("positions")
  }

  private struct State {
    var stage: String
    var unit: Unit
    var total: Double
    let started = ContinuousClock.now
    var painted: ContinuousClock.Instant
    var done: Double
    /// What an earlier run had done.
    var first: Double
    var detail = ""
  }

  private let state: Mutex<State?>
  private let said = Mutex<Set<String>>([])
  private let quiet: Bool

  init(quiet: Bool) {
    self.quiet = quiet
    state = Mutex(nil)
  }

  func start(_ stage: String, total: Int, unit: Unit) {
    state.withLock {
      $0 = State(
        stage: stage, unit: unit, total: Double(total), painted: .now - .seconds(3600), done: 0, first: 0)
    }
    if !Terminal.repaints { paint(at: .now) }
  }

  /// Tells what is done already, so that it does not count as this run's speed.
  func resume(from done: Int) {
    state.withLock {
      guard let state = $0 else { return }
      $0 = State(
        stage: state.stage, unit: state.unit, total: state.total, painted: state.painted, done: Double(done),
        first: Double(done))
    }
  }

  /// Tells how much of the stage is done; safe from any thread.
  ///
  /// - Parameter total: the stage's amount, where it was not known before.
  func update(_ done: Int, of total: Int? = nil, _ detail: String = "") {
    let now = ContinuousClock.now
    let due = state.withLock { state -> Bool in
      guard state != nil else { return false }
      state!.done = Double(done)
      state!.detail = detail
      if let total { state!.total = Double(total) }
      return now - state!.painted > (Terminal.repaints ? .milliseconds(100) : .seconds(60))
    }
    if due { paint(at: now) }
  }

  /// Ends the stage with one summary line.
  ///
  /// - Parameter summary: what was done, where that is not simply the stage's whole amount.
  func finish(_ summary: String? = nil) {
    let ended = state.withLock { state in
      defer { state = nil }
      return state
    }
    guard let ended, !quiet else { return }
    let seconds = (ContinuousClock.now - ended.started).seconds
    let whole = Self.amount(ended.total, ended.unit)
    var figures = " in \(Figures.duration(seconds))"
    let own = ended.total - ended.first
    if summary == nil, seconds >= 1, own > 0, let rate = Self.rate(own / seconds, ended.unit) {
      figures += ", \(rate)"
    }
    figures += ", peak memory \(Figures.bytes(MemoryLimit.peak))"
    Terminal.write([(summary ?? "\(ended.stage): \(whole)", .plain), (figures, .dim)])
  }

  /// A line of its own: a warning, a plan.
  func note(_ text: String) {
    if !quiet { Terminal.write(text) }
  }

  /// Lines of their own, each said once however often it is told.
  func noteOnce(_ texts: [String]) {
    for text in texts where said.withLock({ $0.insert(text).inserted }) { note(text) }
  }

  private func paint(at now: ContinuousClock.Instant) {
    guard !quiet else { return }
    let current = state.withLock { state in
      state?.painted = now
      return state
    }
    guard let current else { return }
    let figures = Self.figures(current, at: now)
    if Terminal.repaints {
      Terminal.paint([Self.bar(current, width: Terminal.columns - 1), [("  " + figures, .dim)]])
    } else {
      Terminal.write([("\(current.stage): \(figures)", .plain)])
    }
  }

  /// The stage's name, and how far it is as a line that fills up.
  private static func bar(_ state: State, width: Int) -> [Terminal.Part] {
    let part = state.total > 0 ? min(1, max(0, state.done / state.total)) : 0
    let percent = Figures.fixed(part * 100, 0)
    let cells = min(40, width - state.stage.count - 9)
    guard cells >= 8 else { return [(state.stage, .bold), ("  \(percent) %", .plain)] }
    let full = Int(Double(cells) * part)
    return [
      (state.stage + "  ", .bold), (String(repeating: "━", count: full), .accent),
      (String(repeating: "─", count: cells - full), .dim), ("  \(percent) %", .plain),
    ]
  }

  /// Amount, speed, time left, the most memory so far, and the layer or tensor.
  private static func figures(_ state: State, at now: ContinuousClock.Instant) -> String {
    let seconds = (now - state.started).seconds
    var parts = ["\(amount(state.done, state.unit, beside: state.unit)) of \(amount(state.total, state.unit))"]
    let own = state.done - state.first
    if own > 0, seconds > 1 {
      if let rate = rate(own / seconds, state.unit) { parts.append(rate) }
      parts.append("\(Figures.duration((state.total - state.done) * seconds / own)) left")
    }
    parts.append("peak \(Figures.bytes(MemoryLimit.peak))")
    if !state.detail.isEmpty { parts.append(state.detail) }
    return parts.joined(separator: ", ")
  }

  /// - Parameter whole: the unit of a number that follows, in which case a noun needs no repeating.
  private static func amount(_ value: Double, _ unit: Unit, beside whole: Unit? = nil) -> String {
    switch unit {
    case .bytes: Figures.bytes(Int(value))
    case .seconds: Figures.duration(value)
    case .count(let noun): Figures.grouped(Int(value)) + (whole == nil ? " \(noun)" : "")
    }
  }

  /// Large models do a few tokens a second, of which a fraction matters.
  private static func rate(_ value: Double, _ unit: Unit) -> String? {
    switch unit {
    case .bytes: Figures.bytes(Int(value)) + "/s"
    case .seconds: nil
    case .count(let noun):
      (value < 100 ? Figures.significant(value, 3) : Figures.grouped(Int(value))) + " \(noun)/s"
    }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
