import ArgumentParser
import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors
import Tokenizers
import Transformer

struct SensitivityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sensitivity",
    abstract: "Measure the drift that rounding each tensor causes, for any target.",
    discussion: """
      Measures the importance-weighted error of every tensor in every type, and the KL divergence that rounding causes \
      end to end: for each tensor if the budget allows, else by class and band of layers. The same command continues an \
      interrupted run.

        qtool sensitivity Qwen2.5-7B --imatrix Qwen2.5-7B.imatrix.gguf \\
          --budget 2h -o Qwen2.5-7B.sensitivity.json
        qtool quantize Qwen2.5-7B --target 4.2GB \\
          --sensitivity Qwen2.5-7B.sensitivity.json -o Qwen2.5-7B-4.2GB.gguf
        qtool sensitivity DeepSeek-R1 --import kld_results.csv \\
          -o DeepSeek-R1.sensitivity.json
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
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
    help: ArgumentHelp(
      "Time to measure (default: 2h, and no limit with --bands); 0 measures nothing, and takes each tensor's worth from "
        + "other models.",
      valueName: "time"))
  var budget: TimeSpan?
  @Option(
    name: .long,
    help: ArgumentHelp("Bands of layers to probe (default: as many as the budget allows).", valueName: "count"))
  var bands: Int?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Windows of text to probe (default: as many as the budget allows, at most 32; 32 with --bands and without --budget).",
      valueName: "count"))
  var windows: Int?
  @OptionGroup(title: "Evidence from elsewhere") var evidence: EvidenceOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Output") var destination: OutputOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if let bands, bands < 1 { throw ValidationError("--bands must be at least 1") }
    if let windows, windows < 1 { throw ValidationError("--windows must be at least 1") }
    if noImportance, imatrix != nil { throw ValidationError("--no-importance can't be combined with --imatrix") }
    if seconds == 0, !calibration.isEmpty || bands != nil || windows != nil {
      throw ValidationError("--calibration, --bands and --windows measure, and --budget is 0")
    }
  }

  /// Time to measure.
  private var seconds: Double { budget?.seconds ?? (evidence.files.isEmpty ? 7200 : 0) }

  /// Whether a given number of bands is measured completely, however long it takes. Neither the clock nor the machine's
  /// processors then change what is measured.
  private var isComplete: Bool { bands != nil && budget == nil }

  /// The windows of the probes.
  private func probes(
    _ text: CalibrationText, of source: any ModelSource, _ forward: ForwardOptions
  ) throws -> ScoringWindows {
    var policy = FitPolicy()
    if let windows { policy.probeWindows = windows...windows }
    return try FitTexts(
      text, for: source, options: forward, budget: isComplete ? .infinity : seconds, policy: policy
    ).probes
  }

  func run() throws {
    let progress = options.apply()
    try destination.check(inputs: [model] + [imatrix].compactMap { $0 } + evidence.files + calibration)
    HubModels.store(splitter.cache, isRepeated: true)
    let source = try splitter.open(model, progress)
    if seconds == 0 { return try writeEvidence(for: source, progress) }
    // Needed for probes even with an importance matrix.
    let text = try Calibration(calibration, orShippedFor: source, hint: "name one with --calibration")
    progress.noteOnce(text.notes)
    let start = ContinuousClock.now
    let given = try imatrix.map { try ImportanceMatrix(path: $0, for: source, progress) }
    let run = options.fitRun(progress)
    let probes = try probes(text.text, of: source, run.forward)
    let isMeasured = given == nil && !noImportance
    // Probes are no longer than the model's texts.
    if isMeasured { progress.warn(ofLength: FitPolicy().context, for: source) }
    let windows =
      isMeasured
      ? try text.text.windows(by: try Tokenizer(metadata: source.metadata), context: FitPolicy().context) : nil
    let identity = RunIdentity([
      RunIdentity.Field("source model", try ModelFingerprint(of: source).hex),
      RunIdentity.Field("importance matrix", given?.digest ?? windows.map { "computed: " + $0.digest } ?? "none"),
      RunIdentity.Field("number of windows to probe", "\(probes.windows.count)"),
      RunIdentity.Field("calibration text", probes.digest),
      RunIdentity.Field("--bands", bands.map(String.init) ?? "none"),
      RunIdentity.Field("--import or --sibling", try evidence.files.first.map { try DataDigest.ofFile($0) } ?? "none"),
      RunIdentity.Field("version of qtool", QTool.version),
    ])
    let choice = try parts.choice()
    parts.note(choice, progress)
    if let choice {
      let files = PartFiles(output: destination.output, identity: identity)
      return try share(choice, files, of: source, given, probes, run, progress)
    }
    try JoinedParts.requireNone(beside: destination.output)
    let kept = try KeptRun(output: destination.output, identity: identity, restart: destination.restart)
    let tables = KeptTables(kept)
    let table = try kept.keeping {
      let importance =
        given.map { ImportanceInput(.given($0, file: imatrix ?? "")) }
        ?? ImportanceInput(isMeasured ? .measured(text.text) : .nothing)
      let matrix = try importance.matrix(
        of: source, in: run,
        workspace: Workspace(importance: kept.path + "-imatrix.gguf", restart: destination.restart))
      let last = tables.last()
      if last != nil { progress.note("continuing an interrupted run") }
      let measurement = SensitivityMeasurement(
        of: source, matrix: matrix, windows: probes,
        budget: isComplete ? nil : max(1, seconds - (ContinuousClock.now - start).seconds), bands: bands,
        joinedWith: try evidence.table(for: source, matrix, in: run, progress), in: run)
      let table = try measurement.table(earlier: { _ in last }, keep: tables.keep)
      try table.write(to: destination.output, overwrite: destination.force)
      return table
    }
    show(table)
  }

  /// Measures a part, or makes the table of all parts.
  private func share(
    _ choice: PartOptions.Choice, _ files: PartFiles, of source: any ModelSource, _ matrix: ImportanceMatrix?,
    _ probes: ScoringWindows, _ run: FitRun, _ progress: Progress
  ) throws {
    guard let bands, matrix != nil || noImportance else {
      throw Failure(
        .usage, "parts of sensitivities need --bands, and --imatrix or --no-importance",
        hint: "the number of bands of layers and the importance must be the same for all parts")
    }
    guard budget == nil else {
      throw Failure(
        .usage, "parts of sensitivities measure everything, and --budget is a limit of time",
        hint: "leave it out; fewer --bands and --windows take less time")
    }
    var measurement = SensitivityMeasurement(
      of: source, matrix: matrix, windows: probes, budget: nil, bands: bands,
      joinedWith: try evidence.table(for: source, matrix, in: run, progress), in: run)
    switch choice {
    case .one(let part):
      try files.check(part, of: source.tensors.count(where: \.isQuantizable), "tensors")
      var journal = JournalOptions.none
      (journal.snapshotEvery, journal.restart) = (10, destination.restart)
      try files.run(part, kind: "table.json", journal, progress) { kept, path in
        guard let kept else { return }
        let tables = KeptTables(kept)
        try measurement.table(of: part, earlier: tables.last(), keep: tables.keep).write(to: path, overwrite: true)
      }
    case .join(let count):
      let table = try measurement.joined(try files.joined(count: count).map { try SensitivityTable(path: $0) })
      try table.write(to: destination.output, overwrite: destination.force)
      files.remove()
      show(table)
    }
  }

  private func show(_ table: SensitivityTable) {
    print(Self.summary(table))
    print(
      "\n\(destination.output): \(table.entries.count) tensors, \(table.probes.count) probes over "
        + "\(Figures.grouped(table.probeTokens)) tokens, \(table.bands == 1 ? "one band" : "\(table.bands) bands") of layers"
    )
  }

  /// Writes the table of the prior, or of the given evidence, without a forward pass.
  private func writeEvidence(for source: any ModelSource, _ progress: Progress) throws {
    let matrix = try imatrix.map { try ImportanceMatrix(path: $0, for: source, progress) }
    let run = options.fitRun(progress)
    let table =
      try evidence.table(for: source, matrix, in: run, progress)
      ?? PriorSensitivities(of: source, matrix: matrix, in: run).table()
    try table.write(to: destination.output, overwrite: destination.force)
    print("\(destination.output): \(table.entries.count) tensors\nevidence: \(table.grade.line)")
  }

  /// Classes of tensors in descending order of their drift.
  private static func summary(_ table: SensitivityTable) -> String {
    var classes: [String: (tensors: Int, divergence: Double, coefficient: Double)] = [:]
    let coefficients = Dictionary(uniqueKeysWithValues: table.entries.map { ($0.tensor, $0.coefficient) })
    for probe in table.probes {
      guard let first = probe.tensors.first else { continue }
      let name = TensorName(first).layerClass
      classes[name, default: (0, 0, 0)].tensors += probe.tensors.count
      classes[name, default: (0, 0, 0)].divergence += probe.divergence
      classes[name, default: (0, 0, 0)].coefficient += probe.tensors.reduce(0) { $0 + (coefficients[$1] ?? 0) }
    }
    var rendered = Table([("class", .left), ("tensors", .right), ("KLD alone", .right), ("coefficient", .right)])
    for (name, row) in classes.sorted(by: { ($1.value.divergence, $0.key) < ($0.value.divergence, $1.key) }) {
      rendered.add([
        name, "\(row.tensors)", Figures.significant(row.divergence),
        Figures.significant(row.coefficient / Double(row.tensors), 3),
      ])
    }
    return rendered.rendered()
  }
}
