import ArgumentParser
import Files
import GGUF
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
}
