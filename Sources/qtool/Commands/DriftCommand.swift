import ArgumentParser
import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Perplexity
import Tensors
import Tokenizers

struct DriftCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drift",
    abstract: "Measure the drift of models from the one they were made of.",
    discussion: """
      Measures the KL divergence from BASE at every scored position, as defined by llama-perplexity's --kl-divergence. \
      Several models share one run of BASE, and are compared with each other. BASE is a model, or a reference stored by \
      --save-reference or by llama-perplexity's --kl-divergence-base.

        qtool drift Qwen2.5-7B Qwen2.5-7B-Q4_K_M.gguf --text held-out.txt
        qtool drift base.gguf small.gguf smaller.gguf --text wiki.txt code.py \\
          --stop-at 0.02
        qtool drift base.gguf --save-reference base.qref --text wiki.txt
        qtool drift base.qref small.gguf --fail-above 0.05
      """)

  @Argument(help: "The unquantized model, or a stored reference.", completion: .file()) var base: String
  @Argument(help: "The models to compare with it.", completion: .file()) var models: [String] = []
  @OptionGroup(title: "Text") var text: TextOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Reference") var stored: StoredReferenceOptions
  @Option(
    name: .long, help: ArgumentHelp("Stop once all 95 % intervals are narrower than this.", valueName: "nats"))
  var stopAt: Double?
  @Option(name: .long, help: ArgumentHelp("Exit with code 1 if a mean KLD is above this.", valueName: "nats"))
  var failAbove: Double?
  @Option(
    name: .customLong("journal"),
    help: ArgumentHelp(
      "Keep a journal under this name, from which the same command continues after an interruption (default: the "
        + "name of the saved file).", valueName: "file"))
  var keptName: String?
  @OptionGroup var journal: JournalOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Report") var report: ReportOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if models.isEmpty, !stored.saves {
      throw ValidationError("name at least one model to compare with BASE, or a file to --save-reference")
    }
    if let stopAt, !(stopAt > 0) { throw ValidationError("--stop-at must be above 0") }
    if let failAbove, !(failAbove >= 0) { throw ValidationError("--fail-above must not be negative") }
    if models.isEmpty, stopAt != nil || failAbove != nil || report.json || report.csv {
      throw ValidationError("--stop-at, --fail-above, --json and --csv need a model to compare with BASE")
    }
    if stopAt != nil, stored.saves {
      throw ValidationError("a reference needs the whole text: leave out --stop-at")
    }
  }

  func run() throws {
    let progress = options.apply()
    let name = journal.snapshotEvery > 0 ? keptName ?? stored.saveReference ?? stored.saveLogits : nil
    let continues = !journal.restart && name.map(RunJournal.isBegun) ?? false
    try stored.checkOutputs(inputs: [base] + models + text.text, mayExist: continues)
    // Every batch of windows reads all weights.
    HubModels.store(splitter.cache, isRepeated: true)
    try splitter.check([base] + models)
    let candidates = try models.map { try splitter.openAmongOthers($0, progress) }
    var (run, texts) = try prepare(candidates, progress)
    let choice = try parts.choice()
    parts.note(choice, progress)
    if let choice { return try share(choice, of: run, progress) }
    guard let name else { return try measure(run, texts, progress) }
    try JoinedParts.requireNone(beside: name)
    let kept = try journal.keptRun(output: name, identity: try run.identity(stoppingAt: stopAt))
    run.kept = kept
    try kept.keeping { try measure(run, texts, progress) }
  }

  /// Measures the windows of a part, or shows the figures of all parts.
  private func share(_ choice: PartOptions.Choice, of run: DriftRun, _ progress: Progress) throws {
    guard let keptName, stopAt == nil, !stored.saves, !models.isEmpty else {
      throw Failure(
        .usage, "parts of a comparison need --journal, and neither --stop-at nor --save-reference nor --save-logits",
        hint: "name the result of the parts with --journal NAME")
    }
    let files = PartFiles(output: keptName, identity: try run.identity(stoppingAt: nil))
    switch choice {
    case .one(let part):
      let windows = run.windows.windows.count
      try files.check(part, of: windows, "windows")
      try files.run(part, kind: "drift.json", journal, progress) { kept, path in
        var run = run
        run.kept = kept
        try PartFiles.write(try run.measure(windows: Array(part.range(of: windows))), to: path)
      }
    case .join(let count):
      var drifts: [Drift] = []
      for path in try files.joined(count: count) {
        let more = try PartFiles.read([Drift].self, from: path)
        if drifts.isEmpty { drifts = more } else { for model in drifts.indices { drifts[model].append(more[model]) } }
      }
      try show(run, drifts, run.windows)
    }
  }

  private func measure(_ run: DriftRun, _ texts: [ScoredText], _ progress: Progress) throws {
    if let stopAt {
      let (drifts, windows) = try run.measure(stoppingAt: stopAt)
      return try show(run, drifts, windows)
    }
    let drifts = try run.measure(windows: Array(run.windows.windows.indices)) { states, memory in
      guard case .model(let source) = run.base else { return }
      try stored.save(states, of: source, texts, run.windows, memory: memory, run.kept?.journal, progress)
    }
    if !drifts.isEmpty { try show(run, drifts, run.windows) }
  }

  /// Opens the base, cuts the text into windows, and refuses inputs that do not match, before anything runs.
  private func prepare(
    _ candidates: [any ModelSource], _ progress: Progress
  ) throws -> (run: DriftRun, texts: [ScoredText]) {
    let path = stored.reference ?? base
    switch try DriftBase.form(of: path) {
    case .model:
      guard stored.reference == nil else {
        throw Failure(
          .data, "\(path): is not a stored reference", hint: "--reference reads the file of --save-reference")
      }
      guard !text.text.isEmpty else {
        throw Failure(
          .usage, "\(base): is a model, and there is no text to run it on",
          hint: "name text with --text; a reference has its own")
      }
      let source = try splitter.openAmongOthers(base, progress)
      for candidate in candidates { try requireSameVocabulary(source, candidate) }
      let texts = try text.texts(chatTemplate: source.metadata.optionalString("tokenizer.chat_template"))
      progress.noteOnce(texts.flatMap(\.notes))
      let windows = try text.windows(texts, try Tokenizer(metadata: source.metadata))
      return (makeRun(.model(source), candidates, windows, indices: Array(windows.windows.indices), progress), texts)
    case .compact:
      try stored.refuseSaving(path)
      let reference = try CompactReference(path: path)
      try check(reference, candidates, progress)
      let indices = text.chunks.map(reference.windows.limited) ?? Array(reference.windows.windows.indices)
      return (
        makeRun(.compact(reference), candidates, reference.windows.selecting(indices), indices: indices, progress), []
      )
    case .logits:
      try stored.refuseSaving(path)
      let tokenizer = try Tokenizer(metadata: candidates[0].metadata)
      let file = try LogitsFile(path: path, bos: tokenizer.addsBOS ? tokenizer.bos : nil)
      let windows = try check(file, candidates, tokenizer)
      return (makeRun(.logits(file), candidates, windows, indices: Array(windows.windows.indices), progress), [])
    }
  }

  private func makeRun(
    _ base: DriftBase, _ candidates: [any ModelSource], _ windows: ScoringWindows, indices: [Int],
    _ progress: Progress
  ) -> DriftRun {
    DriftRun(
      base: base, candidates: candidates, windows: windows, storedIndices: indices, options: options,
      progress: progress)
  }

  /// Checks that a compact reference is of the given base, text and context, and of the models' tokenizer.
  private func check(
    _ reference: CompactReference, _ candidates: [any ModelSource], _ progress: Progress
  ) throws {
    let provenance = reference.provenance
    let path = reference.path
    try provenance.require(path: path, context: text.ctx)
    for candidate in candidates {
      try provenance.require(
        path: path, tokenizerDigest: ModelFingerprint.tokenizerDigest(of: candidate.metadata),
        vocabulary: try candidate.metadata.strings("tokenizer.ggml.tokens").count)
    }
    let scored = reference.windows.scored
    if let stride = text.stride, scored.count != stride || scored.lowerBound != provenance.context - stride - 1 {
      let recorded = scored.lowerBound == provenance.context / 2 ? "none" : "\(scored.count)"
      throw ReferenceError.mismatch(path: path, field: "stride", reference: recorded, given: "\(stride)")
    }
    var chatTemplate: String?
    if stored.reference != nil {
      let source = try splitter.openAmongOthers(base, progress)
      try provenance.require(path: path, modelFingerprint: try ModelFingerprint(of: source).hex)
      chatTemplate = source.metadata.optionalString("tokenizer.chat_template")
    }
    if !text.text.isEmpty {
      chatTemplate = chatTemplate ?? candidates.first?.metadata.optionalString("tokenizer.chat_template")
      let texts = try text.texts(chatTemplate: chatTemplate)
      try provenance.require(path: path, textDigest: Provenance.digest(of: texts.map(\.bytes)))
    }
  }

  /// Checks llama-perplexity's file, which contains only the vocabulary's size, the context and the tokens. Names and kinds
  /// of texts come from the given texts.
  ///
  /// - Returns: the first windows of the file, limited by --chunks.
  private func check(
    _ file: LogitsFile, _ candidates: [any ModelSource], _ tokenizer: Tokenizer
  ) throws -> ScoringWindows {
    func require(_ field: String, _ reference: String, _ given: String) throws(ReferenceError) {
      if reference != given {
        throw .mismatch(path: file.path, field: field, reference: reference, given: given)
      }
    }
    for candidate in candidates {
      let count = try candidate.metadata.strings("tokenizer.ggml.tokens").count
      try require("vocabulary size", "\(file.vocabularyCount)", "\(count)")
    }
    if let first = candidates.first { for other in candidates.dropFirst() { try requireSameVocabulary(first, other) } }
    if let ctx = text.ctx { try require("context size", "\(file.windows.context)", "\(ctx)") }
    if let stride = text.stride { try require("stride", "none", "\(stride)") }
    guard !text.text.isEmpty else {
      return file.windows.selecting(Array(file.windows.windows.indices.prefix(text.chunks ?? .max)))
    }
    let texts = try text.texts(
      chatTemplate: candidates.first?.metadata.optionalString("tokenizer.chat_template"))
    let given = try text.windows(texts, tokenizer, context: file.windows.context)
    let count = min(given.windows.count, file.windows.windows.count)
    if text.chunks == nil, count < file.windows.windows.count {
      try require("number of windows", "\(file.windows.windows.count)", "\(count)")
    }
    for (index, window) in file.windows.windows.prefix(count).enumerated() {
      // The first token of a window may be BOS.
      for position in 1..<window.count {
        try require(
          "token at position \(position) of window \(index)", "\(window[position])",
          "\(given.windows[index][position])")
      }
    }
    return given.selecting(Array(0..<count))
  }

  private func show(_ run: DriftRun, _ drifts: [Drift], _ windows: ScoringWindows) throws {
    let found = run.report(drifts, windows)
    if report.json {
      try printJSON(found)
    } else if report.csv {
      print(found.csv)
    } else {
      print(DriftTable.text(found))
      if windows.windows.count < run.windows.windows.count {
        print(
          "\nstopped after \(windows.windows.count) of \(run.windows.windows.count) windows: "
            + "the widest interval is \(Figures.significant(found.widestInterval)) nats")
      }
    }
    guard let failAbove else { return }
    let failed = found.models.filter { $0.statistics.divergence.value > failAbove }
    guard failed.isEmpty else {
      let list = failed.map { "\($0.name): mean KLD \(Figures.fixed($0.statistics.divergence.value, 6))" }
      throw Failure(.unmet, "\(list.joined(separator: ", ")), above \(failAbove)")
    }
  }
}

/// Options of stored references.
struct StoredReferenceOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("A stored reference of BASE, used instead of running BASE.", valueName: "file"),
    completion: .file())
  var reference: String?
  @Option(
    name: .long, help: ArgumentHelp("Store BASE's predictions, compactly, for later comparisons.", valueName: "file"),
    completion: .file())
  var saveReference: String?
  @Option(
    name: .long,
    help: ArgumentHelp("Store them in llama-perplexity's format, for its --kl-divergence.", valueName: "file"),
    completion: .file())
  var saveLogits: String?
  @Flag(name: .long, help: "Replace existing files.") var force = false

  var saves: Bool { saveReference != nil || saveLogits != nil }

  func validate() throws {
    if reference != nil, saves {
      throw ValidationError("--reference can't be combined with --save-reference or --save-logits")
    }
    if let saveReference, saveReference == saveLogits {
      throw ValidationError("--save-reference and --save-logits need different names")
    }
  }

  /// - Parameter mayExist: whether an unfinished run may have written the files.
  func checkOutputs(inputs: [String], mayExist: Bool) throws {
    for path in [saveReference, saveLogits].compactMap({ $0 }) {
      try OutputOptions(output: path, force: force || mayExist).check(inputs: inputs)
    }
  }

  func refuseSaving(_ path: String) throws {
    guard saves else { return }
    throw Failure(.usage, "\(path): is already a reference", hint: "--save-reference and --save-logits need the model")
  }

  func save(
    _ states: any LogitSource, of source: any ModelSource, _ texts: [ScoredText], _ windows: ScoringWindows,
    memory: Int, _ journal: RunJournal?, _ progress: Progress
  ) throws {
    let advance = StageObserver(progress: progress, total: windows.rowCount)
    /// Writes a file, unless an interrupted run has written it: its journal records that, or `isOurs` if it was killed
    /// before it could.
    func save(_ path: String, isOurs: () -> Bool, write: (_ overwrite: Bool) throws -> Void) throws {
      let exists = FileIdentity(path: path) != nil
      if exists, let digest = journal?.inherited[path], (try? DataDigest.ofFile(path)) == digest {
        return progress.note("\(path): was written by an interrupted run")
      }
      progress.start("writing \(path)", total: windows.rowCount, unit: .positions)
      try write(force || exists && journal != nil && isOurs())
      progress.finish()
      try journal?.record(path, sha256: try DataDigest.ofFile(path))
    }
    if let saveReference {
      let provenance = try Provenance(
        of: source, texts: texts.map(\.bytes), context: windows.context, vocabulary: states.vocabularyCount)
      try save(saveReference) {
        (try? CompactReference(path: saveReference).provenance) == provenance
      } write: { overwrite in
        try CompactReference.write(
          states, windows: windows, provenance: provenance, to: saveReference, overwrite: overwrite, memory: memory,
          progress: advance)
      }
      try note(saveReference, windows, states.vocabularyCount, progress)
    }
    if let saveLogits {
      let bytes = LogitsFile.byteCount(windows: windows, vocabulary: states.vocabularyCount)
      try save(saveLogits) {
        (try? LogitsFile(path: saveLogits, bos: nil).byteCount) == bytes
      } write: { overwrite in
        try LogitsFile.write(
          states, named: source.name, windows: windows, to: saveLogits, overwrite: overwrite, memory: memory,
          progress: advance)
      }
    }
  }

  private func note(_ path: String, _ windows: ScoringWindows, _ vocabulary: Int, _ progress: Progress) throws {
    let reference = try CompactReference(path: path)
    let usual = LogitsFile.byteCount(windows: windows, vocabulary: vocabulary)
    progress.note(
      "\(path): \(Figures.grouped(reference.byteCount)) bytes for \(Figures.grouped(windows.rowCount)) positions, "
        + "\(Figures.fixed(Double(usual) / Double(reference.byteCount), 1)) times smaller than llama-perplexity's file")
  }
}
