import ArgumentParser
import Blocks
import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Plan
import Quantize
import Tensors
import Tokenizers

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Write a model as a smaller GGUF: to a size, or as a named mix.",
    usage: """
      qtool quantize <model> --target <size> -o <file> [<options>]
      qtool quantize <model> --fit <machine> -o <file> [<options>]
      qtool quantize <model> --type <name> -o <file> [<options>]
      qtool quantize <model> --preset <name> -o <file> [<options>]
      qtool quantize <model> --recipe <file> -o <file> [<options>]
      """,
    discussion: """
      With --target, every tensor gets the type that costs the least drift for its bytes, and the file is never \
      larger. Sizes are decimal (kB, MB, GB) or binary (KiB, MiB, GiB). With --type, a mix of llama-quantize \
      (Q4_K_M, Q3_K_S, ...), COPY, or one type for all tensors with --pure. With --preset, a dynamic mix for the \
      model's shapes (ud-iq1_s, ud-iq1_m, ud-iq2_xxs, ud-q2_k); with --recipe, rules from a file. With --fit, the target \
      is what a machine has left beside the cache of a context.

        qtool quantize Llama-3.1-405B-Instruct --target 190GB \\
          -o Llama-3.1-405B-190GB.gguf
        qtool quantize Qwen2.5-72B --fit m4-max-64 --context 32k \\
          -o Qwen2.5-72B-64GB.gguf
        qtool quantize Qwen2.5-7B --type Q4_K_M \\
          --imatrix Qwen2.5-7B.imatrix.gguf -o Qwen2.5-7B-Q4_K_M.gguf
        qtool quantize DeepSeek-R1 --preset ud-iq1_s --floor 'attn_=Q5_K' \\
          -o DeepSeek-R1-UD-IQ1_S.gguf
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @OptionGroup(title: "Size or mix") var mix: MixOptions
  @OptionGroup(title: "Fit") var fitOptions: FitOptions
  @OptionGroup(title: "Output") var outputOptions: QuantizedOutputOptions
  @OptionGroup(title: "Importance") var weighing: WeighingOptions
  @OptionGroup(title: "With --target or --fit") var fittingOptions: FittingOptions
  @OptionGroup(title: "Constraints") var constraintOptions: ConstraintOptions
  @OptionGroup(title: "Source") var sourceOptions: SourceOptions
  @Flag(name: .long, help: "Quantize from types that are quantized already.") var allowRequantize = false
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    guard mix.count + (fitOptions.fit == nil ? 0 : 1) == 1 else {
      throw ValidationError("give one of --target, --fit, --type, --preset and --recipe")
    }
    // With --target, calibration text is what mixes are judged on, too.
    if weighing.noImportance, weighing.imatrix != nil || mix.target == nil && !weighing.calibration.isEmpty {
      throw ValidationError("--no-importance contradicts --imatrix\(mix.target == nil ? " and --calibration" : "")")
    }
    if fittingOptions.sensitivity != nil, mix.target == nil, fitOptions.fit == nil {
      throw ValidationError("--sensitivity goes with --target")
    }
  }

  func run() throws {
    guard fitOptions.fit != nil else { return try quantize() }
    // What it notes is said when it is opened to be quantized.
    let whole = try splitter.open(model, Progress(quiet: true))
    let layers = try sourceOptions.layers()
    var fitted = self
    fitted.mix.target = try fitOptions.target(
      for: layers.isEmpty ? whole : try PrunedModel(whole, without: layers), hasImportance: !weighing.noImportance,
      options.apply())
    try fitted.quantize()
  }

  private func quantize() throws {
    let progress = options.apply()
    let destination = outputOptions.destination
    if !outputOptions.dryRun {
      try destination?.check(
        inputs: [model] + [weighing.imatrix, mix.recipe, fittingOptions.sensitivity].compactMap { $0 }
          + weighing.calibration)
    }
    let whole = try splitter.open(model, progress)
    let layers = try sourceOptions.layers()
    let pruned = layers.isEmpty ? nil : try PrunedModel(whole, without: layers)
    let source = weightOptions.apply(to: pruned ?? whole)
    var constraints = try constraintOptions.constraints(for: source, progress)
    let own = source.tensors.map(\.type)
    let copied = mix.copies ? try constraints.applied(to: own, of: source) : nil
    for (index, tensor) in source.tensors.enumerated()
    where tensor.isQuantizable && tensor.type.isQuantized && copied?[index] != tensor.type {
      guard allowRequantize else { throw QuantizeError.needsRequantize(tensor: tensor.name, type: tensor.type) }
      progress.note("warning: \(source.name) is quantized already; what was lost stays lost")
      break
    }
    let files = destination.map { MeasuredFiles(output: $0.output, model: source.name, restart: $0.restart) }
    let fingerprint = try ModelFingerprint(of: source).hex
    let overrides = try sourceOptions.overrides()
    func header(_ importance: ImportanceProvenance?) -> OutputHeader {
      OutputHeader(source: source, importance: importance, fingerprint: fingerprint, overrides: overrides)
    }
    if mix.target != nil, weighing.imatrix == nil, !weighing.noImportance {
      // Before hours of measuring: what will be known of the importance matrix decides how long the header is.
      let expected = ImportanceProvenance(computedFrom: try weighing.text(for: source).names)
      try constraints.follow(nil, of: source)
      try fitting(source, nil, constraints, header(expected), progress)?.target.check()
    }
    let matrix = try importanceMatrix(of: source, whole, pruned, copiesAll: copied == own, files, progress)
    let writer = header(provenance(matrix))
    if let matrix { try constraints.follow(matrix, of: source) } else { try constraints.checkNoImportance(source) }
    var lines: [String] = []
    let plan: RewritePlan
    if let fitting = fitting(source, matrix, constraints, writer, progress) {
      let outcome = try fitted(fitting, source, matrix, files, progress)
      lines = outcome.lines
      plan = try writer.plan(outcome.types)
      try constraints.noteReplacements(in: outcome.types, of: source, progress)
    } else {
      plan = try named(source, matrix, constraints, writer, progress)
    }
    if outputOptions.dryRun {
      print(QuantizationTable.tensors(plan))
      for line in lines { print(line) }
      return
    }
    guard let destination else { return }
    for verdict in plan.compatibility.verdicts { progress.note(verdict.line) }
    _ = try write(plan, importance: matrix, to: destination, checksums: outputOptions.checksums, progress)
    files?.forgetChoice()
    print(QuantizationTable.types(plan))
    for line in lines { print(line) }
    print("\n\(destination.output): \(QuantizationTable.total(plan))")
  }

  /// Importance from a file, from calibration text, or none where it is neither given nor needed. A file knows the layers
  /// of a pruned model by what they are called in the `whole` one.
  private func importanceMatrix(
    of source: any ModelSource, _ whole: any ModelSource, _ pruned: PrunedModel?, copiesAll: Bool,
    _ files: MeasuredFiles?, _ progress: Progress
  ) throws -> ImportanceMatrix? {
    if weighing.noImportance { return nil }
    if copiesAll {
      if weighing.imatrix != nil || !weighing.calibration.isEmpty {
        progress.note("note: every tensor is copied as it is: importance is not used")
      }
      return nil
    }
    var matrix: ImportanceMatrix
    if let imatrix = weighing.imatrix {
      matrix = try ImportanceMatrix(path: imatrix, for: whole, without: try sourceOptions.layers(), progress)
      if let pruned { matrix = matrix.following(pruned) }
    } else {
      // A named mix is made as llama-quantize makes it: without importance unless it was asked for.
      if mix.target == nil, weighing.calibration.isEmpty, !mix.needsImportance { return nil }
      let text = try weighing.text(for: source)
      progress.noteOnce(text.notes)
      let windows = try text.windows(try Tokenizer(metadata: source.metadata), context: 512)
      matrix = try importance(of: source, text, windows, options, progress, files)
      matrix.noteMissing(from: source, named: "the calibration text", progress)
    }
    return matrix.selecting(included: weighing.includeWeights, excluded: weighing.excludeWeights)
  }

  private func provenance(_ matrix: ImportanceMatrix?) -> ImportanceProvenance? {
    matrix.map {
      ImportanceProvenance(
        file: weighing.imatrix ?? "computed", dataset: $0.datasets.joined(separator: " "), entries: $0.entries.count,
        chunks: $0.chunkCount, fingerprint: $0.digest)
    }
  }

  /// A mix, preset or recipe under the constraints.
  private func named(
    _ source: any ModelSource, _ matrix: ImportanceMatrix?, _ constraints: TypeConstraints, _ writer: OutputHeader,
    _ progress: Progress
  ) throws -> RewritePlan {
    let recipe = mix.copies ? nil : try mix.chosenRecipe(for: source)
    if let recipe, mix.recipe != nil { try constraintOptions.check(recipe.rules, source, progress) }
    let wanted = recipe?.types(for: source, hasImportance: matrix != nil) ?? source.tensors.map(\.type)
    let types = try constraints.applied(to: wanted, of: source)
    for (tensor, type) in zip(source.tensors, types) where type != tensor.type {
      guard type.canEncode else { throw QuantizeError.notEncodable(tensor: tensor.name, type: type) }
      guard matrix != nil || !type.needsImportance else {
        throw QuantizeError.needsImportance(tensor: tensor.name, type: type)
      }
    }
    try constraints.noteReplacements(in: wanted, of: source, progress)
    let fileType = recipe?.fileType(of: TypedShapes(source, types: types).tensors)
    return try writer.plan(
      types, fileType: fileType ?? source.metadata.optionalInt("general.file_type") ?? 0, name: recipe?.name)
  }

  private func fitting(
    _ source: any ModelSource, _ matrix: ImportanceMatrix?, _ constraints: TypeConstraints, _ writer: OutputHeader,
    _ progress: Progress
  ) -> Fitting? {
    mix.target.map { target in
      let coverage: TypeMenus.Coverage =
        if let matrix { .tensors(Set(matrix.entries.keys)) } else { weighing.noImportance ? .nothing : .computed }
      return Fitting(
        source: source, matrix: matrix, hasImportance: !weighing.noImportance, constraints: constraints,
        target: FitTarget(target.bytes, header: writer, coverage: coverage, constraints: constraints),
        options: options, progress: progress)
    }
  }

  /// The types that cost the least drift for the target's bytes.
  private func fitted(
    _ fitting: Fitting, _ source: any ModelSource, _ matrix: ImportanceMatrix?, _ files: MeasuredFiles?,
    _ progress: Progress
  ) throws -> Fitting.Outcome {
    try fitting.target.check()
    let start = ContinuousClock.now
    let budget = fittingOptions.budget.seconds
    var given: SensitivityTable?
    if let sensitivity = fittingOptions.sensitivity {
      given = try SensitivityTable(path: sensitivity)
      try given?.check(against: source, file: String(sensitivity.split(separator: "/").last ?? ""))
      if given?.importanceFingerprint != matrix?.digest {
        progress.note("warning: the sensitivities were measured with another importance matrix")
      }
    }
    let calibration = try weighing.text(for: source)
    progress.noteOnce(calibration.notes)
    let text = try MeasuringText(calibration, source, options, budget: budget)
    let table: SensitivityTable
    if let given {
      table = given
    } else {
      table = try measureSensitivity(
        of: source, matrix, text.probes, budget: budget / 2, bands: nil,
        earlier: { files?.sensitivities(like: $0, progress) }, keep: { try files?.keep($0) }, options, progress)
    }
    let key = try choiceKey(fitting, table, text)
    if let files, let choice = files.choice(key: key) {
      let types = source.tensors.map { tensor in
        choice.types[tensor.name].flatMap { GGMLType(name: $0) } ?? tensor.type
      }
      progress.note("types as an interrupted run had chosen them")
      return Fitting.Outcome(types: types, lines: choice.lines)
    }
    let left = budget - (ContinuousClock.now - start).seconds
    let outcome = try fitting.run(
      table: table, text: text, search: !fittingOptions.noSearch && left > 0, budget: left * 0.8,
      seed: fittingOptions.seed)
    try files?.keep(
      MeasuredFiles.Choice(
        key: key,
        types: Dictionary(uniqueKeysWithValues: zip(source.tensors, outcome.types).map { ($0.name, $1.name) }),
        lines: outcome.lines))
    return outcome
  }

  /// Everything that the choice of types depends on.
  private func choiceKey(_ fitting: Fitting, _ table: SensitivityTable, _ text: MeasuringText) throws -> String {
    let constraints = fitting.constraints
    var parts = [
      QTool.version, "\(fitting.target.bytes)",
      "\(fittingOptions.budget.seconds) \(fittingOptions.noSearch) \(fittingOptions.seed)", text.validation.digest,
    ]
    parts += (constraints.pins + constraints.floors).map(\.description) + ["\(constraints.pins.count)"]
    parts +=
      constraints.excluded.map(\.name).sorted() + [constraints.only.map { "\($0.map(\.name).sorted())" } ?? "all"]
    parts += ["\(constraints.leavesOutput)"]
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    var digest = DataDigest()
    digest.update(Array(parts.joined(separator: "\n").utf8).span.bytes)
    digest.update(Array(try encoder.encode(table)).span.bytes)
    return digest.hex()
  }
}

extension ImportanceMatrix {
  /// Under the names that a pruned model's layers have.
  func following(_ model: PrunedModel) -> ImportanceMatrix {
    var result = self
    result.entries = [:]
    for tensor in model.tensors { result.entries[tensor.name] = entries[model.original(of: tensor).name] }
    return result
  }
}
