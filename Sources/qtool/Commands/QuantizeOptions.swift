import ArgumentParser
import Files
import Fit
import GGUF
import Imatrix
import MLX
import Quantize
import Tensors

/// The choice of a file's types.
struct MixOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Maximum size of the file, such as 190GB or 177GiB.", valueName: "size"))
  var target: ByteSize?
  @Option(
    name: .long, help: ArgumentHelp("A stock mix or a type, such as Q4_K_M.", valueName: "name"),
    completion: .list(StockMix.allCases.map(\.rawValue)))
  var type: String?
  @Option(
    name: .long, help: ArgumentHelp("A dynamic mix, such as ud-iq1_s.", valueName: "name"),
    completion: .list(Preset.allCases.map(\.rawValue)))
  var preset: String?
  @Option(name: .long, help: ArgumentHelp("Rules from a YAML file.", valueName: "file"), completion: .file())
  var recipe: String?
  @Flag(name: .long, help: "With --type: give every matrix the same type, without the mix's exceptions.")
  var pure = false

  /// Number of given options that exclude each other.
  var count: Int { [target != nil, type != nil, preset != nil, recipe != nil].count { $0 } }

  /// Whether every tensor keeps its type.
  var copies: Bool { type?.uppercased() == "COPY" }

  /// Whether the preset needs importance.
  var needsImportance: Bool { preset.flatMap(Preset.init(name:))?.needsImportance ?? false }

  func validate() throws {
    if pure, type == nil { throw ValidationError("--pure needs --type") }
  }

  /// The file of a mix, preset, recipe or copy, under the constraints.
  func plan(
    _ header: OutputHeader, _ constraints: TypeConstraints, _ options: ConstraintOptions, hasImportance: Bool,
    _ progress: Progress
  ) throws -> RewritePlan {
    let chosen = copies ? nil : try chosenRecipe(for: header.source)
    if let chosen, recipe != nil { try options.check(chosen.rules, header.source, RuleFile(), progress) }
    let plan = try header.plan(chosen, constraints: constraints, hasImportance: hasImportance)
    try constraints.noteReplacements(
      in: header.wantedTypes(chosen, hasImportance: hasImportance), of: header.source, progress)
    return plan
  }

  /// The recipe of the given mix, preset or file.
  func chosenRecipe(for source: any ModelSource) throws -> Recipe {
    if let recipe {
      let file = String(recipe.split(separator: "/").last ?? "")
      return try Recipe(yaml: try TextFile(path: recipe).text, file: file).mapping { try source.formed($0) }
    }
    if let mlx = source as? MLXSource { return try mlxRecipe(for: mlx) }
    if let preset {
      guard let match = Preset(name: preset) else {
        let names = Preset.allCases.map(\.rawValue)
        throw Failure(.usage, "--preset \(preset): no such preset", hint: "known: " + names.joined(separator: ", "))
          .suggesting(preset, among: names)
      }
      return match.recipe(for: source)
    }
    let name = type ?? ""
    if let mix = StockMix(name: name) {
      return pure ? Recipe(base: .type(mix.base)) : Recipe(base: .mix(mix, hasImportance: nil))
    }
    // A type without a mix of its name, such as MXFP4, needs --pure.
    if let type = GGMLType(name: name), type.canEncode {
      if pure { return Recipe(base: .type(type)) }
      let mix = StockMix.allCases.first { $0.base == type }
      throw Failure(
        .usage, "--type \(name): is a type, not a mix",
        hint: (mix.map { "\($0.rawValue) is the mix; " } ?? "") + "--pure gives every matrix the type")
    }
    let names = StockMix.allCases.map(\.rawValue) + ["COPY"]
    throw Failure(
      .usage, "--type \(name): no such mix or type", hint: "known: " + names.joined(separator: ", ")
    ).suggesting(name, among: names)
  }
}

/// The file of a quantized model; optional on a dry run.
struct QuantizedOutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
  var output: String?
  @Option(
    name: .long,
    help: ArgumentHelp("The form of the output; mlx is a directory that mlx_lm loads.", valueName: "form"))
  var format = OutputFormat.gguf
  @Flag(name: .long, help: "Print the table of tensors, types and bytes, and write nothing.") var dryRun = false
  @Flag(name: .long, help: "Replace an existing file.") var force = false
  @Flag(name: .long, help: "Start over, ignoring the files of an interrupted run.") var restart = false
  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.") var checksums = false

  func validate() throws {
    guard output != nil || dryRun else { throw ValidationError("name the file to write with -o") }
  }

  var destination: OutputOptions? {
    output.map {
      var path = $0[...]
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
      progress.note(
        "note: no importance is measured: types below two bits are left out, and files come out worse; "
          + "give an importance matrix with --imatrix")
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
    name: .long,
    help: ArgumentHelp(
      "Time for measuring and searching; 0 runs no forward pass, and takes each tensor's worth from other models.",
      valueName: "time"))
  var budget = FitBudget.auto
  @Flag(name: .long, help: "Use the allocation without a search for better mixes.") var noSearch = false
  @Option(name: .long, help: ArgumentHelp("Seed of the search's random numbers.", valueName: "number"))
  var seed: UInt64 = 1

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
    job.seed = seed
  }
}
