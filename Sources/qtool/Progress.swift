import Foundation
import Synchronization
import Tensors

/// The progress of a long command on standard error: two repainted lines on a terminal, elsewhere one line per minute, and
/// one line for every finished stage. Nothing with `--quiet`. Standard output is only for results.
final class Progress: Sendable {
  /// The unit of a stage's amount.
  enum Unit: Sendable, Equatable {
    case bytes
    case seconds
    /// A thousand parts.
    case percent
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
    /// Amount done by an earlier run.
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

  /// Sets the amount done by an earlier run, which does not count for the speed.
  func resume(from done: Int) {
    state.withLock {
      guard let state = $0 else { return }
      $0 = State(
        stage: state.stage, unit: state.unit, total: state.total, painted: state.painted, done: Double(done),
        first: Double(done))
    }
  }

  /// Sets the amount done; safe from any thread.
  ///
  /// - Parameter total: the stage's amount, if it was unknown at the start.
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
  /// - Parameter summary: text in place of the stage's whole amount.
  func finish(_ summary: String? = nil) {
    let ended = state.withLock { state in
      defer { state = nil }
      return state
    }
    guard let ended, !quiet else { return }
    let seconds = (ContinuousClock.now - ended.started).seconds
    let whole = Self.amount(ended.total, ended.unit)
    var figures = " in \(Figures.duration(seconds))"
    let done = ended.total - ended.first
    if summary == nil, seconds >= 1, done > 0, let rate = Self.rate(done / seconds, ended.unit) {
      figures += ", \(rate)"
    }
    figures += ", peak memory \(Figures.bytes(MemoryLimit.peak))"
    Terminal.write([(summary ?? "\(ended.stage): \(whole)", .plain), (figures, .dim)])
  }

  /// Writes a line, such as a warning or a plan.
  func note(_ text: String) {
    if !quiet { Terminal.write(HubModels.described(text)) }
  }

  /// Writes lines that were not written before.
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

  /// The stage's name and a progress bar.
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

  /// Amount, speed, remaining time, peak memory, and the layer or tensor.
  private static func figures(_ state: State, at now: ContinuousClock.Instant) -> String {
    let seconds = (now - state.started).seconds
    var parts = [
      amount(state.done, state.unit, beside: state.unit)
        + (state.unit == .percent ? "" : " of \(amount(state.total, state.unit))")
    ]
    let done = state.done - state.first
    if done > 0, seconds > 1 {
      if let rate = rate(done / seconds, state.unit) { parts.append(rate) }
      parts.append("\(Figures.duration((state.total - state.done) * seconds / done)) left")
    }
    parts.append("peak \(Figures.bytes(MemoryLimit.peak))")
    if !state.detail.isEmpty { parts.append(state.detail) }
    return parts.joined(separator: ", ")
  }

  /// - Parameter whole: the unit of a number that follows; the noun is then not repeated.
  private static func amount(_ value: Double, _ unit: Unit, beside whole: Unit? = nil) -> String {
    switch unit {
    case .bytes: Figures.bytes(Int(value))
    case .seconds: Figures.duration(value)
    case .percent: Figures.percent(value / 1000, 0)
    case .count(let noun): Figures.grouped(Int(value)) + (whole == nil ? " \(noun)" : "")
    }
  }

  /// Large models process a few tokens per second, so that small rates have decimals.
  private static func rate(_ value: Double, _ unit: Unit) -> String? {
    switch unit {
    case .bytes: Figures.bytes(Int(value)) + "/s"
    case .seconds, .percent: nil
    case .count(let noun):
      (value < 100 ? Figures.significant(value, 3) : Figures.grouped(Int(value))) + " \(noun)/s"
    }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
