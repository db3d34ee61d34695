import Fit
import Tensors

/// Reports the progress of a fit on standard error, and stops it on Ctrl-C.
final class FitProgress: RunObserver {
  private let progress: Progress
  /// The current forward pass.
  private var pass: ForwardStage?
  private var stage: FitStage?
  /// During a search, the divergence of its best mix, and the number of mixes that were measured.
  private var divergence: Double?
  private var trials = 0

  init(_ progress: Progress) { self.progress = progress }

  func begin(_ stage: any RunStage) {
    self.stage = stage as? FitStage
    switch self.stage {
    case .importance(let model, let plan, let tokens, let seconds, let keepsLayers):
      progress.note(plan.summary(of: model, seconds: seconds))
      pass = ForwardStage(model, tokens: tokens, "importance", progress, finishesLayers: keepsLayers)
    case .sensitivities(let model, let measurements):
      progress.start("\(model): sensitivity", total: measurements, unit: .count("measurements"))
    case .search(let model, let rounds):
      progress.start("\(model): search", total: rounds, unit: .count("rounds"))
    case .comparison(let model):
      progress.start("\(model): comparison with other mixes", total: 1, unit: .count("layers"))
    case nil: break
    }
  }

  func advance(_ done: RunProgress) throws {
    if let pass { return try pass.advance(done) }
    try Interruption.check()
    switch stage {
    case .sensitivities(_, let count):
      progress.update(Int((done.fraction * Double(count)).rounded(.down)), done.detail)
    case .search(_, let rounds):
      let round = Int((done.fraction * Double(rounds)).rounded())
      progress.update(
        round, "round \(round)" + (divergence.map { ", KLD \(Figures.significant($0))" } ?? ", \(done.detail)"))
    default: progress.update(done.step, of: done.stepCount, done.detail)
    }
  }

  func end(_ stage: any RunStage) {
    pass = nil
    self.stage = nil
    if case .search(let model, _) = stage as? FitStage {
      progress.finish("\(model): search, \(trials) trials")
    } else {
      progress.finish()
    }
  }

  func note(_ note: any RunNote) {
    switch note as? FitNote {
    case .importanceReused(let path): progress.note("importance matrix from an earlier run: \(path)")
    case .importanceMissing(let model, let tensors):
      progress.noteMissing(tensors, of: model, named: "the calibration text")
    case .sensitivitiesReused(let path, let isComplete):
      progress.note("\(isComplete ? "sensitivities from an earlier run" : "continuing sensitivities"): \(path)")
    case .typesReused: progress.note("types chosen by an interrupted run")
    case .otherImportance:
      progress.note("warning: the sensitivities were measured with another importance matrix")
    case .incumbent(let divergence): self.divergence = divergence
    case .searched(let trials): self.trials = trials
    case nil: break
    }
  }

  func pause() throws { try Interruption.check() }
}

extension RunOptions {
  /// Settings of a fit's runs.
  func fitRun(_ progress: Progress) -> FitRun {
    FitRun(forward: forward, version: QTool.version, observer: FitProgress(progress))
  }
}
