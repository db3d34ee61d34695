import Fit

/// Tells on standard error how far a fit is, and stops it on Ctrl-C.
final class FitProgress: FitObserver {
  private let progress: Progress
  /// The forward pass in work.
  private var pass: ForwardStage?
  private var trials = 0

  init(_ progress: Progress) { self.progress = progress }

  func begin(_ stage: FitStage) {
    switch stage {
    case .importance(let model, let plan, let tokens, let seconds, let keepsLayers):
      progress.note(plan.summary(of: model, seconds: seconds))
      pass = ForwardStage(model, tokens: tokens, "importance", progress, finishesLayers: keepsLayers)
    case .sensitivities(let model, let measurements):
      progress.start("\(model): sensitivity", total: measurements, unit: .count("measurements"))
    case .search(let model, let rounds):
      progress.start("\(model): search", total: rounds, unit: .count("rounds"))
    case .comparison(let model):
      progress.start("\(model): check against stock mixes", total: 1, unit: .count("layers"))
    }
  }

  func advance(_ step: FitStep) throws {
    if let pass, case .pass(let done) = step { return try pass.advance(done) }
    try Interruption.check()
    switch step {
    case .layers(let done, let layers): progress.update(done, of: layers)
    case .errors(let done, let tensor): progress.update(done, "errors of \(tensor)")
    case .probes(let done, let count, let layer, let layers):
      progress.update(done, "\(count) probes, layer \(layer) of \(layers)")
    case .round(let number, let divergence):
      progress.update(number, "round \(number), KLD \(Figures.significant(divergence))")
    case .trials(let count): trials = count
    case .pass: break
    }
  }

  func end(_ stage: FitStage) {
    pass = nil
    if case .search(let model, _) = stage {
      progress.finish("\(model): search, \(trials) trials")
    } else {
      progress.finish()
    }
  }

  func note(_ note: FitNote) {
    switch note {
    case .importanceReused(let path): progress.note("importance matrix from an earlier run: \(path)")
    case .importanceMissing(let model, let tensors):
      progress.noteMissing(tensors, of: model, named: "the calibration text")
    case .sensitivitiesReused(let path, let isComplete):
      progress.note("\(isComplete ? "sensitivities from an earlier run" : "going on from"): \(path)")
    case .typesReused: progress.note("types as an interrupted run had chosen them")
    case .otherImportance:
      progress.note("warning: the sensitivities were measured with another importance matrix")
    }
  }

  func pause() throws { try Interruption.check() }
}

extension RunOptions {
  /// How the runs of a fit work.
  func fitRun(_ progress: Progress) -> FitRun {
    FitRun(forward: forward, version: QTool.version, observer: FitProgress(progress))
  }
}
