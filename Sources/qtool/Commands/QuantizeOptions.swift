import ArgumentParser
import Files
import Fit
import GGUF
import Imatrix
import Quantize
import Tensors

/// What chooses the types of a file.
struct MixOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("The size that the file may have, such as 190GB or 177GiB.", valueName: "size"))
  var target: ByteSize?
  @Option(
    name: .long, help: ArgumentHelp("A mix or type by its name, such as Q4_K_M.", valueName: "name"),
    completion: .list(StockMix.allCases.map(\.rawValue)))
  var type: String?
  @Option(
    name: .long, help: ArgumentHelp("A dynamic mix by its name, such as ud-iq1_s.", valueName: "name"),
    completion: .list(Preset.allCases.map(\.rawValue)))
  var preset: String?
  @Option(name: .long, help: ArgumentHelp("Rules from a YAML file.", valueName: "file"), completion: .file())
  var recipe: String?
  @Flag(name: .long, help: "With --type: every matrix gets the type itself, without the exceptions of the mix.")
  var pure = false

  /// How many of the options that exclude each other are given.
  var count: Int { [target != nil, type != nil, preset != nil, recipe != nil].count { $0 } }

  /// Every tensor keeps its type.
  var copies: Bool { type?.uppercased() == "COPY" }

  /// What the type of a preset can't do without.
  var needsImportance: Bool { preset.flatMap(Preset.init(name:))?.needsImportance ?? false }

  func validate() throws {
    if pure, type == nil { throw ValidationError("--pure goes with --type") }
  }

  /// The file of a mix, preset, recipe or copy, under the constraints.
  func plan(
    _ header: OutputHeader, _ constraints: TypeConstraints, _ options: ConstraintOptions, hasImportance: Bool,
    _ progress: Progress
  ) throws -> RewritePlan {
    let chosen = copies ? nil : try chosenRecipe(for: header.source)
    if let chosen, recipe != nil { try options.check(chosen.rules, header.source, progress) }
    let plan = try header.plan(chosen, constraints: constraints, hasImportance: hasImportance)
    try constraints.noteReplacements(
      in: header.wantedTypes(chosen, hasImportance: hasImportance), of: header.source, progress)
    return plan
  }

  /// The mix, preset or recipe that is named.
  func chosenRecipe(for source: any ModelSource) throws -> Recipe {
    if let recipe {
      return try Recipe(yaml: try TextFile(path: recipe).text, file: String(recipe.split(separator: "/").last ?? ""))
    }
    if let preset {
      guard let known = Preset(name: preset) else {
        let names = Preset.allCases.map(\.rawValue)
        throw Failure(.usage, "--preset \(preset): no such preset", hint: "known: " + names.joined(separator: ", "))
          .suggesting(preset, among: names)
      }
      return known.recipe(for: source)
    }
    let name = type ?? ""
    if let mix = StockMix(name: name) {
      return pure ? Recipe(base: .type(mix.base)) : Recipe(base: .mix(mix, hasImportance: nil))
    }
    // A type that no mix has the name of, such as MXFP4: for all tensors, or not at all.
    if let type = GGMLType(name: name), type.canEncode {
      if pure { return Recipe(base: .type(type)) }
      let mix = StockMix.allCases.first { $0.base == type }
      throw Failure(
        .usage, "--type \(name): is a type, and no mix has its name",
        hint: (mix.map { "\($0.rawValue) is the mix; " } ?? "") + "--pure gives every matrix the type")
    }
    let names = StockMix.allCases.map(\.rawValue) + ["COPY"]
    throw Failure(
      .usage, "--type \(name): no such mix or type", hint: "known: " + names.joined(separator: ", ")
    ).suggesting(name, among: names)
  }
}

/// Where a quantized model goes: nowhere on a dry run.
struct QuantizedOutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
  var output: String?
  @Flag(name: .long, help: "Print the table of tensors, types and bytes, and write nothing.") var dryRun = false
  @Flag(name: .long, help: "Replace a file of that name.") var force = false
  @Flag(name: .long, help: "Begin anew, whatever an interrupted run has left.") var restart = false
  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.") var checksums = false

  func validate() throws {
    guard output != nil || dryRun else { throw ValidationError("name the file to write with -o") }
  }

  var destination: OutputOptions? {
    output.map { OutputOptions(output: $0, force: force, restart: restart) }
  }
}

/// Where importance comes from.
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
    help: ArgumentHelp("Use importance for tensors with this in their name only.", valueName: "text"))
  var includeWeights: [String] = []
  @Option(
    name: .long, help: ArgumentHelp("Use no importance for tensors with this in their name.", valueName: "text"))
  var excludeWeights: [String] = []

  func text(for source: any ModelSource) throws -> Calibration {
    try Calibration(calibration, orShippedFor: source)
  }

  /// - Parameters:
  ///   - whole: the model before layers were left out, whose names a file has.
  ///   - isWanted: also without a file or text that was named. A named mix is made as llama-quantize makes it: without
  ///     importance unless it was asked for.
  ///   - isUseless: every tensor is copied.
  func input(
    for source: any ModelSource, whole: any ModelSource, pruned: PrunedModel?, without layers: Set<Int>,
    isWanted: Bool, isUseless: Bool, _ progress: Progress
  ) throws -> ImportanceInput {
    var input = ImportanceInput(.nothing)
    if noImportance { return input }
    if isUseless {
      if imatrix != nil || !calibration.isEmpty {
        progress.note("note: every tensor is copied as it is: importance is not used")
      }
      return input
    }
    if let imatrix {
      let matrix = try ImportanceMatrix(path: imatrix, for: whole, without: layers, progress)
      input = ImportanceInput(.given(pruned.map { matrix.following($0) } ?? matrix, file: imatrix))
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

/// How a mix for a size is found.
struct FittingOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Sensitivities from `qtool sensitivity`.", valueName: "file"), completion: .file())
  var sensitivity: String?
  @Option(name: .long, help: ArgumentHelp("Time for measuring and searching.", valueName: "time"))
  var budget = TimeSpan(seconds: 7200)
  @Flag(name: .long, help: "Take the allocation as it is, without trials of other mixes.") var noSearch = false
  @Option(name: .long, help: ArgumentHelp("Of the search's random numbers.", valueName: "number"))
  var seed: UInt64 = 1

  /// The sensitivities that are given, with the name of their file.
  ///
  /// - Throws: `SensitivityError` for those of another model.
  func sensitivities(for source: any ModelSource) throws -> (table: SensitivityTable, file: String)? {
    guard let sensitivity else { return nil }
    let file = String(sensitivity.split(separator: "/").last ?? "")
    let table = try SensitivityTable(path: sensitivity)
    try table.check(against: source, file: file)
    return (table, file)
  }

  func apply(to job: inout FitJob) {
    job.budget = budget.seconds
    job.searches = !noSearch
    job.seed = seed
  }
}
