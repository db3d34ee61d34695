import ArgumentParser
import Checkpoint
import Files
import Fit
import GGUF
import Imatrix
import MLX
import Quantize
import Tensors

struct QuantizeCommand: ParsableCommand {
  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @OptionGroup(title: "Size or mix") var mix: MixOptions
  @OptionGroup(title: "Fit") var fitOptions: FitOptions
  @OptionGroup(title: "Output") var outputOptions: QuantizedOutputOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Disk") var removalOptions: RemovalOptions
  @OptionGroup(title: "Importance") var weighing: WeighingOptions
  @OptionGroup(title: "Error feedback") var feedbackOptions: FeedbackOptions
  @OptionGroup(title: "With --target or --fit") var fittingOptions: FittingOptions
  @OptionGroup(title: "Constraints") var constraintOptions: ConstraintOptions
  @OptionGroup(title: "Source") var sourceOptions: SourceOptions
  @Flag(name: .long, help: "Quantize tensors that are already quantized.") var allowRequantize = false
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  /// All files to make.
  var mixes: [Mix] { mix.mixes + (fitOptions.fit.map { [Mix(.fit(machine: $0))] } ?? []) }

  func validate() throws {
    let mixes = mixes
    guard !mixes.isEmpty else { throw ValidationError("give one of --target, --fit, --type, --preset and --recipe") }
    if mixes.count > 1, outputOptions.output?.contains("{mix}") == false {
      throw ValidationError("several files need {mix} in their name, such as -o 'Model-{mix}.gguf'")
    }
    if let twice = Set(mixes.map(\.name)).first(where: { name in mixes.count { $0.name == name } > 1 }) {
      throw ValidationError("\(twice) is given twice")
    }
    let fitsAll = mixes.allSatisfy(\.isFitted)
    // With --target, mixes are measured on the calibration text too.
    let isFitted = mix.mixes.contains(where: \.isFitted)
    if weighing.noImportance, weighing.imatrix != nil || !isFitted && !weighing.calibration.isEmpty {
      throw ValidationError(
        "--no-importance can't be combined with --imatrix\(isFitted ? "" : " or --calibration")")
    }
    if let option = fittingOptions.given, !mixes.contains(where: \.isFitted) {
      throw ValidationError("\(option) needs --target or --fit")
    }
    if fittingOptions.budget.isNothing, fitsAll, !weighing.calibration.isEmpty, feedbackOptions.feedback != true {
      throw ValidationError("--budget 0 contradicts --calibration: no text is run, unless --feedback is given")
    }
    if feedbackOptions.saveImatrix, weighing.imatrix != nil || weighing.noImportance {
      throw ValidationError("--save-imatrix contradicts --\(weighing.noImportance ? "no-importance" : "imatrix")")
    }
  }

  func run() throws {
    let progress = options.apply()
    if outputOptions.output?.contains("{name}") == false { try checkOutputs(name: "") }
    // A search and error feedback read the weights again.
    HubModels.store(
      splitter.cache,
      isRepeated: mixes.contains(where: \.isFitted) || feedbackOptions.feedback != false && !weighing.noImportance)
    let removes = removalOptions.deleteShards && !outputOptions.dryRun
    if removes, model.hasPrefix("hf:") {
      throw Failure(
        .usage, "--delete-shards: \(model) is a model of the hub, whose cached files other programs use too",
        hint: "leave the option out, or name a directory")
    }
    let whole = try splitter.open(model, progress, restoring: removes)
    HubModels.reserve(files: mixes, of: whole)
    let pruned = try sourceOptions.pruned(whole)
    let base = weightOptions.apply(to: pruned ?? whole)
    if outputOptions.output?.contains("{name}") == true {
      try checkOutputs(name: (pruned ?? whole).metadata.conventionalName)
    }
    let sources = try outputOptions.format.map { try $0.formed(base, of: whole, prunes: pruned != nil) }
    guard sources.dropFirst().allSatisfy({ RewriteGroup.canShare(sources[0], $0) }) else {
      throw Failure(
        .usage, "--format: \(whole.name) has other tensors in MLX than in a GGUF", hint: "make one form after the other"
      )
    }
    let count = outputOptions.format.reduce(0) { $0 + mixes(in: $1).count }
    if removes, sources.count > 1 { throw Failure(.usage, "--delete-shards: makes GGUFs alone") }
    let removal = removes ? try removalOptions.removal(of: sources[0], outputs: count, progress) : nil
    if removal?.hasBegun == true, outputOptions.restart {
      throw Failure(
        .usage, "--restart: shards of \(whole.name) were removed, and the unfinished output is the only copy of them",
        hint: "leave --restart out to go on, or download the model again")
    }
    let (run, share) = (options.fitRun(progress), try parts.choice())
    if feedbackOptions.states != nil, share == nil {
      throw Failure(
        .usage, "--states: a run of the whole begins with the embedding", hint: "leave it out, or name a --part")
    }
    if share != nil, removal != nil { throw Failure(.usage, "--part: --delete-shards: other parts read the model too") }
    if share != nil, outputOptions.format.contains(.mlx) {
      throw Failure(
        .usage, "--part: parts are written of GGUF files, not of MLX directories",
        hint: "leave it out: one process writes the directory, after imatrix and sensitivity, which run in parts")
    }
    parts.note(share, progress)
    do {
      var plans: [PlannedFile] = []
      for (format, source) in zip(outputOptions.format, sources) {
        plans += try planned(format, source, whole: whole, pruned: pruned, share, run, progress)
      }
      try finish(plans, share, removal, run, progress)
    } catch let other as OtherRun where removal?.hasBegun == true {
      // Starting over would lose the tensors of the removed shards.
      throw Failure(
        .data, other.description,
        hint: "repeat the unfinished run's command: its output is the only copy of the removed shards")
    }
  }

  /// The mixes that are made in a form.
  func mixes(in format: OutputFormat) -> [Mix] {
    mixes.filter { $0.isMade(in: format, of: outputOptions.format) }
  }

  /// The files of one form, with their types.
  private func planned(
    _ format: OutputFormat, _ source: any ModelSource, whole: any ModelSource, pruned: PrunedModel?,
    _ share: PartOptions.Choice?, _ run: FitRun, _ progress: Progress
  ) throws -> [PlannedFile] {
    let mixes = mixes(in: format)
    guard !mixes.isEmpty else { return [] }
    var files = try mixes.map { mix in
      let destination = outputOptions.destination(mix, format, name: source.metadata.conventionalName)
      return QuantizedFile(
        mix, destination, target: try target(of: mix, source is MLXSource ? source : pruned ?? whole, progress), source)
    }
    var constraints = try constraintOptions.constraints(for: source, progress).mapping { try source.formed($0) }
    if !mixes.allSatisfy(\.copies) { progress.noteFloats(in: source) }
    try source.checkGroups(of: constraints.pins, option: "--pin", progress)
    if !allowRequantize { constraints.kept = source.publishedBlocks(isCheckpoint: whole is CheckpointDirectory) }
    for index in files.indices where files[index].mix.copies {
      files[index].isCopy =
        try constraints.applied(to: source.tensors.map(\.type), of: source) == source.tensors.map(\.type)
    }
    let copied =
      try mixes.allSatisfy(\.copies) ? constraints.applied(to: source.tensors.map(\.type), of: source) : nil
    try checkRequantizing(source, copied, constraints, progress)

    let overrides = try sourceOptions.overrides(for: source)
    let isFitted = files.contains { $0.target != nil }
    let runsModel = try isFitted && fittingOptions.runsModel(source, progress)
    let feedback = try feedbackOptions.input(
      for: source, weighing, isWanted: runsModel || files.contains { $0.target == nil },
      makesNothing: files.allSatisfy(\.isCopy), progress)
    if let share { try checkSharing(files, runsModel: runsModel, feedback, source, share) }
    // Files with the same needs share what is read or measured.
    var inputs: [ImportanceNeed: ImportanceInput] = [:]
    for index in files.indices {
      var file = files[index]
      let asksModel = file.target == nil || runsModel
      if !file.isCopy, asksModel || feedbackOptions.feedback == true { file.feedback = feedback }
      let need = ImportanceNeed(
        isWanted: (file.target == nil ? file.mix.needsImportance : runsModel) || file.feedback != nil,
        canRun: asksModel, isUseless: file.isCopy)
      file.importance =
        try inputs[need]
        ?? weighing.input(
          for: source, whole: whole, pruned: pruned, without: try sourceOptions.layers(), isWanted: need.isWanted,
          canRun: need.canRun, isUseless: need.isUseless, progress)
      inputs[need] = file.importance
      files[index] = file
    }
    let sensitivities = isFitted ? try fittingOptions.sensitivities(for: source) : nil
    if let sensitivities, !sensitivities.table.isComplete {
      progress.note(
        "note: \(sensitivities.file) is unfinished, with \(sensitivities.table.probes.count) probes; "
          + "the same command of qtool sensitivity continues it")
    }
    let priors = PriorTables()
    for index in files.indices {
      guard let target = files[index].target else { continue }
      // Sensitivities of another model are refused before text is read.
      let text = runsModel ? try weighing.text(for: source) : nil
      progress.noteOnce(text?.notes ?? [])
      var fit = FitJob(of: source, target: target.bytes, text: text?.text, run: run)
      fit.importanceInput = files[index].importance
      fit.constraints = constraints
      fit.overrides = overrides
      fit.workspace = files[index].workspace
      fit.given = sensitivities
      fit.priors = priors
      fittingOptions.apply(to: &fit)
      // The last comparison's text must not be the one that errors were fed back by.
      if let whole = files[index].feedback {
        files[index].feedback = whole.with(try fit.feedbackWindows() ?? whole.windows)
      }
      fit.feedback = files[index].feedback
      try fit.check()
      files[index].job = fit
    }
    for file in files { if let job = file.job { progress.note(try job.stages().table) } }
    return try files.map { file in try plan(file, source, constraints, overrides, run, progress) }
  }
}
