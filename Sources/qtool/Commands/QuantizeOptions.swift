import ArgumentParser
import Files
import Fit
import GGUF
import Imatrix
import MLX
import Quantize
import Tensors

/// The file of a quantized model; optional on a dry run.
struct QuantizedOutputOptions: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "The file to write. {mix} stands for the size or mix, {name} for the model's name by GGUF's convention, {format} "
        + "for gguf or mlx.",
      valueName: "file"), completion: .file())
  var output: String?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The form of the output; mlx is a directory that mlx_lm loads. May be given twice, for both.", valueName: "form"))
  var format = [OutputFormat.gguf]
  @Flag(name: .long, help: "Print the table of tensors, types and bytes, and write nothing.") var dryRun = false
  @Flag(name: .long, help: "Replace an existing file.") var force = false
  @Flag(name: .long, help: "Start over, ignoring the files of an interrupted run.") var restart = false
  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.") var checksums = false

  func validate() throws {
    guard output != nil || dryRun else { throw ValidationError("name the file to write with -o") }
    if Set(format).count < format.count { throw ValidationError("--format \(format[0]) is given twice") }
    if format.count > 1, output?.contains("{format}") == false {
      throw ValidationError("several forms need {format} in their name, such as -o 'Model-{mix}.{format}'")
    }
    if format == [.mlx], let output, output.lowercased().hasSuffix(".gguf") {
      throw ValidationError("--format mlx writes a folder, and -o \(output) is the name of a GGUF")
    }
  }

  /// The file of a mix; nil on a dry run without a name.
  func destination(_ mix: Mix, _ format: OutputFormat, name: @autoclosure () -> String) -> OutputOptions? {
    output.map {
      var path = ($0.contains("{name}") ? $0.replacing("{name}", with: name()) : $0)
        .replacing("{mix}", with: mix.name).replacing("{format}", with: format.rawValue)[...]
      while format == .mlx, path.count > 1, path.hasSuffix("/") { path.removeLast() }
      return OutputOptions(output: String(path), force: force, restart: restart, isDirectory: format == .mlx)
    }
  }
}

/// The origin of importance.
struct WeighingOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("An importance matrix (GGUF or .dat).", valueName: "file"), completion: .file())
  var imatrix: String?
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Calibration text: files or folders (default: the text that ships with qtool).", valueName: "path"),
    completion: .file())
  var calibration: [String] = []
  @Flag(name: .long, help: "Use no importance at all.") var noImportance = false
  @Option(
    name: .long,
    help: ArgumentHelp("Use importance only for tensors with this in their name.", valueName: "text"))
  var includeWeights: [String] = []
  @Option(
    name: .long, help: ArgumentHelp("Use no importance for tensors with this in their name.", valueName: "text"))
  var excludeWeights: [String] = []

  /// False for tensors that --include-weights and --exclude-weights leave without importance.
  func concerns(_ tensor: String) -> Bool {
    !excludeWeights.contains { tensor.contains($0) }
      && (includeWeights.isEmpty || includeWeights.contains { tensor.contains($0) })
  }

  func text(for source: any ModelSource) throws -> Calibration {
    try Calibration(calibration, orShippedFor: source)
  }

  /// - Parameters:
  ///   - whole: the model with the removed layers. Matrices from files have its tensor names.
  ///   - isWanted: whether to measure importance by default. A stock mix is made as llama-quantize makes it: without
  ///     importance unless the user gives some.
  ///   - canRun: whether text can run through the model.
  ///   - isUseless: whether every tensor is copied.
  func input(
    for source: any ModelSource, whole: any ModelSource, pruned: PrunedModel?, without layers: Set<Int>,
    isWanted: Bool, canRun: Bool, isUseless: Bool, _ progress: Progress
  ) throws -> ImportanceInput {
    var input = ImportanceInput(.nothing)
    if noImportance { return input }
    if isUseless {
      if imatrix != nil || !calibration.isEmpty {
        progress.note("note: every tensor is copied unchanged: importance is not used")
      }
      return input
    }
    if let imatrix {
      let matrix = try ImportanceMatrix(path: imatrix, for: whole, without: layers, progress)
      input = ImportanceInput(.given(pruned.map { matrix.following($0) } ?? matrix, file: imatrix))
    } else if !canRun {
      let loss = source.outputForm == nil ? "IQ1_S, IQ1_M, IQ2_XXS and IQ2_XS are left out, and " : ""
      progress.note(
        "note: no importance is measured: \(loss)files come out worse; give an importance matrix with --imatrix")
    } else if isWanted || !calibration.isEmpty {
      let text = try text(for: source)
      progress.noteOnce(text.notes)
      input = ImportanceInput(.measured(text.text))
    }
    input.included = includeWeights
    input.excluded = excludeWeights
    return input
  }
}

/// The measurements and the search for a size.
struct FittingOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Sensitivities from `qtool sensitivity`.", valueName: "file"), completion: .file())
  var sensitivity: String?
  @Option(
    name: .customLong("budget"),
    help: ArgumentHelp(
      "Time for measuring and searching; 0 runs no forward pass, and takes each tensor's worth from other models. "
        + "(default: auto)", valueName: "time"))
  var givenBudget: FitBudget?
  @Flag(name: .long, help: "Use the allocation without a search for better mixes.") var noSearch = false
  @Option(
    name: .customLong("seed"),
    help: ArgumentHelp("Seed of the search's random numbers. (default: 1)", valueName: "number"))
  var givenSeed: UInt64?

  var budget: FitBudget { givenBudget ?? .auto }

  /// The first given option; nil for none.
  var given: String? {
    if sensitivity != nil { return "--sensitivity" }
    if givenBudget != nil { return "--budget" }
    if noSearch { return "--no-search" }
    return givenSeed.map { _ in "--seed" }
  }

  /// The given sensitivities, with the name of their file.
  ///
  /// - Throws: `SensitivityError` for sensitivities of another model.
  func sensitivities(for source: any ModelSource) throws -> (table: SensitivityTable, file: String)? {
    guard let sensitivity else { return nil }
    let file = String(sensitivity.split(separator: "/").last ?? "")
    let table = try SensitivityTable(path: sensitivity)
    try table.check(against: source, file: file)
    return (table, file)
  }

  /// False where no forward pass is run: with --budget 0, and where the model has none here, which is said.
  func runsModel(_ source: any ModelSource, _ progress: Progress) throws -> Bool {
    if budget.isNothing { return false }
    guard let obstacle = try FitJob.obstacle(to: source) else { return true }
    progress.note("note: \(obstacle): nothing can be measured, and types go by what other models' tensors are worth")
    return false
  }

  func apply(to job: inout FitJob) {
    if case .seconds(let seconds) = budget { job.budget = seconds }
    job.searches = !noSearch
    job.seed = givenSeed ?? 1
  }
}
