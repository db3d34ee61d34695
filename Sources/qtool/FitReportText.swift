import Fit
import GGUF
import Quantize
import Tensors

/// The words for mixes with which a fitted one is compared.
struct BaselineWords {
  let one: String
  let many: String

  /// The words for a model in the form of the output.
  init(for source: any ModelSource) {
    (one, many) =
      source.outputForm == nil ? ("stock mix", "stock mixes") : ("mix of mlx_lm", "mixes of mlx_lm")
  }
}

extension FitReport {
  /// The choice of types and its evidence, one line per fact.
  func lines(_ words: BaselineWords) -> [String] {
    let isMeasured = written != nil || comparison != nil
    return ["evidence: \(isMeasured ? evidence.source : evidence.line)"]
      + [unmeasuredLine].compactMap { $0 } + floors.map(\.line)
      + [
        searchLine, isEstimated ? choiceLine(words) : comparisonLine(words), writtenLine(words), shortageLine(words),
        omittedLine,
      ].compactMap { $0 }
  }

  private var unmeasuredLine: String? {
    unmeasuredClasses.isEmpty
      ? nil
      : "classes that no other model was measured on, taken as the median of their size: "
        + unmeasuredClasses.joined(separator: ", ")
  }

  private var searchLine: String? {
    search.map { search in
      var line = "search: \(search.trials) trials in \(search.rounds) rounds"
      if let comparison {
        let after = comparison.search ?? comparison.allocation
        line +=
          ", \(isEstimated ? "estimated " : "")KLD \(Figures.significant(comparison.allocation)) to "
          + "\(Figures.significant(after)) (\(Figures.percent(after / comparison.allocation - 1, 1))) on unseen text"
        if comparison.search != nil, choice == .allocation || choice == .expected {
          line +=
            after < comparison.allocation
            ? "; its gain over the mix without probes is not certain, so it is not taken" : ", so its mix is not taken"
        } else if choice == .search, after > comparison.allocation {
          line += ", but lower where every window counts alike"
        }
      }
      return line + (search.isCutShort ? ", ended by the limit of time" : "")
    }
  }

  /// With error feedback, the choice follows from estimates, and only the written file has a measured drift.
  private func choiceLine(_ words: BaselineWords) -> String? {
    guard let comparison else { return nil }
    if let written = comparison.written {
      return "by the estimate, the types of the \(words.one) \(written) are better and were taken"
    }
    return choice == .expected
      ? "by the estimate, \(measuring) less than two standard errors, so the mix without probes was taken" : nil
  }

  private var measuring: String { search == nil ? "probes gain" : "probes and search gain" }

  private static func windows(_ count: Int) -> String { count == 1 ? "1 window" : "\(count) windows" }

  private func writtenLine(_ words: BaselineWords) -> String? {
    guard let written else { return nil }
    let file =
      "KLD \(Figures.significant(written.divergence)) of this file"
      + (written.hasFeedback ? ", with error feedback" : "")
    guard let best = written.best else {
      return file + ", on \(Self.windows(written.windows)) of unseen text; no \(words.one) is as small as the target"
    }
    return file + "; \(Figures.significant(best.divergence)) of \(best.name), the best \(words.one) of its size, "
      + "without; on "
      + "\(Self.windows(written.windows)) of unseen text (\(Figures.percent(written.divergence / best.divergence - 1, 1)); 95 % "
      + "interval of the difference: \(Figures.significant(written.low, 3)) to \(Figures.significant(written.high, 3)))"
  }

  private func comparisonLine(_ words: BaselineWords) -> String? {
    guard let comparison else { return nil }
    guard let best = comparison.best else { return "no \(words.one) is as small as the target" }
    let (fitted, stock) = (comparison.fitted, best.divergence)
    let figures =
      "KLD \(Figures.significant(fitted)), \(best.name) \(Figures.significant(stock)), on \(Self.windows(comparison.windows)) "
      + "(\(Figures.percent(fitted / stock - 1, 1)); 95 % interval of the difference: "
      + "\(Figures.significant(comparison.low, 3)) to \(Figures.significant(comparison.high, 3)))"
    guard fitted > stock else {
      return
        (choice == .expected
        ? "\(measuring) less than two standard errors, so the mix without probes is kept: "
        : "the fitted mix is kept: ") + figures
    }
    switch comparison.written {
    case nil: return "\(best.name) is better, but slightly too large: " + figures
    case best.name?: return "the \(words.one) \(best.name) is better and was written: " + figures
    case let name?:
      return "the \(words.one) \(name) was written; \(best.name) is better, but slightly too large: " + figures
    }
  }

  private var omittedLine: String? {
    guard !omitted.isEmpty else { return nil }
    let names = omitted.map { "\($0.stage.rawValue) (at least \(Figures.duration($0.seconds)))" }
    return "left out, as the budget is too short: " + names.joined(separator: ", ")
  }

  private func shortageLine(_ words: BaselineWords) -> String? {
    shortage.map {
      let lacking = [
        $0.windows < 3 && $0.needed > 2 ? "no search" : nil,
        $0.windows < 2 ? "no comparison with \(words.many)" : nil,
      ].compactMap { $0 }.joined(separator: " and ")
      return "\(lacking): the calibration text has \($0.windows) window\($0.windows == 1 ? "" : "s") of \($0.context) "
        + "tokens, but \($0.needed) are needed: give more text with --calibration"
    }
  }
}

extension Evidence {
  /// The grade, and whether this model was measured.
  var line: String {
    switch self {
    case .prior, .sibling, .published: source + "; the divergence was not measured on this model"
    case .measured, .searched: source
    }
  }

  /// The grade and where it comes from.
  var source: String {
    switch self {
    case .prior: "prior (worth by class and depth, from 26 other models)"
    case .sibling: "sibling (another model's table)"
    case .published: "published (an imported table)"
    case .measured: "measured (probes of this model)"
    case .searched: "searched (trials of whole mixes of this model)"
    }
  }
}

extension FragileTensors.Floor {
  var line: String {
    "floor: \(tensors == 1 ? "1 tensor" : "\(tensors) tensors") of \(classes.joined(separator: ", ")) "
      + "\(tensors == 1 ? "has" : "have") \(type) or more, as they break at fewer bits; --pin lifts it"
  }
}
