import ArgumentParser
import Files
import Fit
import GGUF
import MLX
import Quantize
import Tensors

/// The choice of the types of a file, or of several.
struct MixOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Maximum size of the file, such as 190GB or 177GiB. This and the next three options may be repeated.",
      valueName: "size"))
  var target: [ByteSize] = []
  @Option(
    name: .long, help: ArgumentHelp("A stock mix or a type, such as Q4_K_M.", valueName: "name"),
    completion: .list(StockMix.allCases.map(\.rawValue)))
  var type: [String] = []
  @Option(
    name: .long, help: ArgumentHelp("A dynamic mix, such as ud-iq1_s.", valueName: "name"),
    completion: .list(Preset.allCases.map(\.rawValue)))
  var preset: [String] = []
  @Option(name: .long, help: ArgumentHelp("Rules from a YAML file.", valueName: "file"), completion: .file())
  var recipe: [String] = []
  @Flag(name: .long, help: "With --type: give every matrix the same type, without the mix's exceptions.")
  var pure = false

  /// In the order of the options in the help.
  var mixes: [Mix] {
    target.map { Mix(.target($0)) } + type.map { Mix(.type($0, isPure: pure)) } + preset.map { Mix(.preset($0)) }
      + recipe.map { Mix(.recipe($0)) }
  }

  func validate() throws {
    if pure, type.isEmpty { throw ValidationError("--pure needs --type") }
  }
}

/// The choice of a file's types.
struct Mix: Sendable {
  enum Choice: Sendable {
    case target(ByteSize)
    case fit(machine: String)
    case type(String, isPure: Bool)
    case preset(String)
    case recipe(String)
  }

  let choice: Choice

  init(_ choice: Choice) { self.choice = choice }

  /// The part of a file's name that tells it from others of the same model.
  var name: String {
    switch choice {
    case .target(let size): size.description
    case .fit(let machine): machine
    case .type(let name, let isPure):
      // MLX's types name their groups after a slash.
      (StockMix(name: name)?.rawValue ?? GGMLType(name: name)?.name ?? name.uppercased())
        .replacing("/", with: "-") + (isPure ? "-pure" : "")
    case .preset(let name): name.uppercased()
    case .recipe(let path):
      String((path.split(separator: "/").last ?? "").split(separator: ".").first ?? "recipe")
    }
  }

  /// Whether a run of several forms makes this mix in one of them: sizes in all, names in those that know them, presets and
  /// recipes as GGUF.
  func isMade(in format: OutputFormat, of formats: [OutputFormat]) -> Bool {
    guard formats.count > 1 else { return true }
    switch choice {
    case .target, .fit: return true
    case .preset, .recipe: return format == .gguf
    case .type(let name, _):
      let isMLX = copies || MLXMix(name: name) != nil
      // Unknown names are refused as those of GGUF are.
      let isGGUF = copies || StockMix(name: name) != nil || GGMLType(name: name)?.isAffine == false || !isMLX
      return format == .mlx ? isMLX : isGGUF
    }
  }

  /// Whether the types are fitted to a size.
  var isFitted: Bool {
    switch choice {
    case .target, .fit: true
    default: false
    }
  }

  /// Whether every tensor keeps its type.
  var copies: Bool { if case .type(let name, _) = choice { name.uppercased() == "COPY" } else { false } }

  /// Whether the preset needs importance.
  var needsImportance: Bool {
    if case .preset(let name) = choice { Preset(name: name)?.needsImportance ?? false } else { false }
  }

  /// The file of a mix, preset, recipe or copy, under the constraints.
  func plan(
    _ header: OutputHeader, _ constraints: TypeConstraints, _ options: ConstraintOptions, hasImportance: Bool,
    _ progress: Progress
  ) throws -> RewritePlan {
    let chosen = copies ? nil : try chosenRecipe(for: header.source)
    if let chosen, case .recipe(let path) = choice {
      try options.check(chosen.rules, header.source, RuleFile(), progress)
      try header.source.checkGroups(of: chosen.rules, option: "--recipe \(path)", progress)
    }
    let plan = try header.plan(chosen, constraints: constraints, hasImportance: hasImportance)
    try constraints.noteReplacements(
      in: header.wantedTypes(chosen, hasImportance: hasImportance), of: header.source, progress)
    return plan
  }

  /// The recipe of the given mix, preset or file.
  func chosenRecipe(for source: any ModelSource) throws -> Recipe {
    switch choice {
    case .preset, .type: if let mlx = source as? MLXSource { return try mlxRecipe(for: mlx) }
    case .recipe, .target, .fit: break
    }
    switch choice {
    case .recipe(let path):
      let file = String(path.split(separator: "/").last ?? "")
      let mlx = source as? MLXSource
      let recipe = try Recipe(yaml: try TextFile(path: path).text, file: file) { name in
        mlx.flatMap { MLXMix(name: name)?.types(for: $0) }
      }
      if mlx != nil, case .mix(let mix, _) = recipe.base {
        throw Failure(
          .usage, "--recipe \(file): mix \(mix.rawValue): is a mix of GGUF types",
          hint: "MLX's mixes: " + MLXMix.names.joined(separator: ", "))
      }
      return try recipe.mapping { try source.formed($0) }
    case .preset(let name):
      guard let match = Preset(name: name) else {
        let names = Preset.allCases.map(\.rawValue)
        throw Failure(.usage, "--preset \(name): no such preset", hint: "known: " + names.joined(separator: ", "))
          .suggesting(name, among: names)
      }
      return match.recipe(for: source)
    case .type(let name, let isPure): return try Self.stock(name, isPure: isPure)
    case .target, .fit: preconditionFailure("the types of \(name) are fitted")
    }
  }

  private static func stock(_ name: String, isPure: Bool) throws -> Recipe {
    if let mix = StockMix(name: name) {
      return isPure ? Recipe(base: .type(mix.base)) : Recipe(base: .mix(mix, hasImportance: nil))
    }
    // A type without a mix of its name, such as MXFP4, needs --pure.
    if let type = GGMLType(name: name), type.canEncode {
      guard !type.isAffine else {
        throw Failure(.usage, "--type \(name): is a type of MLX, which no GGUF has", hint: "--format mlx writes it")
      }
      if isPure { return Recipe(base: .type(type)) }
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
