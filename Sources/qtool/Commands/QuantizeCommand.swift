import ArgumentParser
import Checkpoint
import Fit
import GGUF
import Imatrix
import Quantize
import Tensors

struct QuantizeCommand: ParsableCommand {
  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @OptionGroup(title: "Size or mix") var mix: MixOptions
  @OptionGroup(title: "Fit") var fitOptions: FitOptions
  @OptionGroup(title: "Output") var outputOptions: QuantizedOutputOptions
  @OptionGroup(title: "Importance") var weighing: WeighingOptions
  @OptionGroup(title: "Error feedback") var feedbackOptions: FeedbackOptions
  @OptionGroup(title: "With --target or --fit") var fittingOptions: FittingOptions
  @OptionGroup(title: "Constraints") var constraintOptions: ConstraintOptions
  @OptionGroup(title: "Source") var sourceOptions: SourceOptions
  @Flag(name: .long, help: "Quantize tensors that are already quantized.") var allowRequantize = false
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    guard mix.count + (fitOptions.fit == nil ? 0 : 1) == 1 else {
      throw ValidationError("give one of --target, --fit, --type, --preset and --recipe")
    }
    // With --target, mixes are measured on the calibration text too.
    if weighing.noImportance, weighing.imatrix != nil || mix.target == nil && !weighing.calibration.isEmpty {
      throw ValidationError(
        "--no-importance can't be combined with --imatrix\(mix.target == nil ? " or --calibration" : "")")
    }
    if fittingOptions.sensitivity != nil, mix.target == nil, fitOptions.fit == nil {
      throw ValidationError("--sensitivity needs --target or --fit")
    }
    if fittingOptions.budget.isNothing, !weighing.calibration.isEmpty {
      throw ValidationError("--budget 0 contradicts --calibration: no text is run")
    }
    if feedbackOptions.saveImatrix, weighing.imatrix != nil || weighing.noImportance {
      throw ValidationError("--save-imatrix contradicts --\(weighing.noImportance ? "no-importance" : "imatrix")")
    }
    if fittingOptions.budget.isNothing, feedbackOptions.feedback == true {
      throw ValidationError("--budget 0 contradicts --feedback: no text is run")
    }
  }

  func run() throws {
    let progress = options.apply()
    let destination = outputOptions.destination
    if !outputOptions.dryRun {
      try destination?.check(
        inputs: [model] + [weighing.imatrix, mix.recipe, fittingOptions.sensitivity].compactMap { $0 }
          + weighing.calibration)
    }
    let whole = try splitter.open(model, progress)
    let pruned = try sourceOptions.pruned(whole)
    let source = try outputOptions.format.formed(
      weightOptions.apply(to: pruned ?? whole), of: whole, prunes: pruned != nil)
    let target =
      try mix.target
      ?? fitOptions.target(
        for: pruned ?? whole, hasImportance: !weighing.noImportance, progress)
    var constraints = try constraintOptions.constraints(for: source, progress).mapping { try source.formed($0) }
    if !allowRequantize { constraints.kept = publishedBlocks(of: source, isDirectory: whole is CheckpointDirectory) }
    let copied = mix.copies ? try constraints.applied(to: source.tensors.map(\.type), of: source) : nil
    try checkRequantizing(source, copied, constraints, progress)

    let (run, overrides) = (options.fitRun(progress), try sourceOptions.overrides(for: source))
    let workspace = destination.map { Workspace(output: $0.output, model: source.name, restart: $0.restart) }
    let isCopy = copied == source.tensors.map(\.type)
    let runsModel = try target != nil && fittingOptions.runsModel(source, progress)
    var feedback = try feedbackOptions.input(
      for: source, weighing, isWanted: target == nil || runsModel, makesNothing: isCopy, progress)
    let importance = try weighing.input(
      for: source, whole: whole, pruned: pruned, without: try sourceOptions.layers(),
      isWanted: (target == nil ? mix.needsImportance : runsModel) || feedback != nil,
      canRun: target == nil || runsModel, isUseless: isCopy, progress)
    var job: FitJob?
    if let target {
      // Sensitivities of another model are refused before text is read.
      let sensitivities = try fittingOptions.sensitivities(for: source)
      let text = runsModel ? try weighing.text(for: source) : nil
      progress.noteOnce(text?.notes ?? [])
      var fit = FitJob(of: source, target: target.bytes, text: text?.text, run: run)
      fit.importanceInput = importance
      fit.constraints = constraints
      fit.overrides = overrides
      fit.workspace = workspace
      fit.given = sensitivities
      fittingOptions.apply(to: &fit)
      // The last comparison's text must not be the one that errors were fed back by.
      if let whole = feedback { feedback = whole.with(try fit.feedbackWindows() ?? whole.windows) }
      fit.feedback = feedback
      try fit.check()
      job = fit
    }
    if let job { progress.note(try job.stages().table) }
    // Without a target, the pass of error feedback computes the importance.
    let isFoundOnTheWay = feedback != nil && target == nil && weighing.imatrix == nil
    let matrix =
      if let job { try job.importance() } else if isFoundOnTheWay { nil as ImportanceMatrix? } else {
        try importance.matrix(of: source, in: run, workspace: workspace)
      }
    let report = try job?.run(matrix)
    let plan: RewritePlan
    if let job, let report {
      plan = try job.header(matrix, evidence: report.evidence).plan(report.types(for: source))
      try job.effectiveConstraints(matrix).noteReplacements(in: plan.types, of: source, progress)
    } else {
      let effective = try importance.constraints(constraints, matrix, of: source)
      var header = OutputHeader(
        source: source, importance: isFoundOnTheWay ? feedback?.importance : importance.provenance(matrix),
        fingerprint: try ModelFingerprint(of: source).hex, overrides: overrides)
      header.feedback = feedback?.provenance
      plan = try mix.plan(
        header, effective, constraintOptions, hasImportance: isFoundOnTheWay || matrix != nil, progress)
    }
    let compare = { (file: any ModelSource) in try job.flatMap { try $0.compare(file, matrix) } }
    // A matrix of the whole text, which other runs may use too; with a target, it is there.
    var save: ((ImportanceMatrix) throws -> Void)?
    if feedbackOptions.saveImatrix, isFoundOnTheWay, let feedback, let workspace {
      save = { progress.note("importance: \(try workspace.keep($0, of: source, windows: feedback.windows, in: run))") }
    } else if feedbackOptions.saveImatrix, job == nil {
      progress.note("note: --save-imatrix: without error feedback, no importance is measured")
    }
    try finish(
      plan, importance: matrix, feedback, report, saving: save, comparing: compare, to: destination, workspace, progress
    )
  }
}
