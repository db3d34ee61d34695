import Checkpoint
import Files
import Fit
import GGUF
import Imatrix
import MLX
import Quantize
import Tensors
import Transformer

extension QuantizeCommand {
  /// Refuses to quantize quantized tensors again without --allow-requantize.
  ///
  /// - Parameter copied: types of the output if it is a copy; nil otherwise.
  func checkRequantizing(
    _ source: any ModelSource, _ copied: [GGMLType]?, _ constraints: TypeConstraints, _ progress: Progress
  ) throws {
    let kept = constraints.kept.filter { name in
      source.tensor(named: name).map { constraints.pinned($0) == $0.type } ?? false
    }
    if let first = source.tensors.first(where: { kept.contains($0.name) }), copied == nil {
      progress.note(
        "note: \(kept.count) tensors, first \(first.name), keep \(first.type), in which they are published; "
          + "--allow-requantize makes them smaller too")
    }
    for (index, tensor) in source.tensors.enumerated()
    where tensor.isQuantizable && tensor.type.isQuantized && copied?[index] != tensor.type
      && !kept.contains(tensor.name)
    {
      guard allowRequantize else { throw QuantizeError.needsRequantize(tensor: tensor.name, type: tensor.type) }
      return progress.note("warning: \(source.name) is already quantized; its errors remain")
    }
  }

  /// Maximum bytes of a fitted file; nil for other mixes.
  func target(of mix: Mix, _ model: any ModelSource, _ progress: Progress) throws -> ByteSize? {
    switch mix.choice {
    case .target(let size): size
    case .fit: try fitOptions.target(for: model, hasImportance: !weighing.noImportance, progress)
    case .type, .preset, .recipe: nil
    }
  }

  /// Refuses, before any work, outputs that can't be written.
  func checkOutputs(name: String) throws {
    guard !outputOptions.dryRun else { return }
    let inputs = [model] + mix.recipe + [weighing.imatrix, fittingOptions.sensitivity].compactMap { $0 }
    for format in outputOptions.format {
      for mix in mixes(in: format) {
        guard let destination = outputOptions.destination(mix, format, name: name) else { continue }
        // A file that an interrupted run of several has completed is checked by its journal.
        var file = destination
        if try parts.choice() == nil { try JoinedParts.requireNone(beside: file.output) }
        if mixes.count > 1 || outputOptions.format.count > 1 || removalOptions.deleteShards,
          RunJournal.isBegun(file.output)
        {
          file.force = true
        }
        try file.check(inputs: inputs + weighing.calibration)
      }
    }
  }

  /// Refuses runs in parts that would measure, each part for itself, what must be the same for all.
  func checkSharing(
    _ files: [QuantizedFile], runsModel: Bool, _ feedback: FitFeedback?, _ source: any ModelSource,
    _ choice: PartOptions.Choice
  ) throws {
    guard files.count == 1 else { throw Failure(.usage, "--part: makes one file", hint: "run once for every file") }
    guard !runsModel else {
      throw Failure(
        .usage, "--part: the types of a size must be the same for all parts",
        hint: "give --budget 0, with --sensitivity FILE of an earlier run, or a --recipe")
    }
    if let feedback, case .one(let part) = choice, try Decoder(source).runsPairs, part.count > feedback.sections {
      throw Failure(
        .usage,
        "--part: \(part.count) parts of \(feedback.sections == 1 ? "one section" : "\(feedback.sections) sections") of "
          + "layers, each of which is rounded for what the layers before it have lost",
        hint: "give --feedback-sections \(part.count) or more to all parts, or --no-feedback")
    }
    guard !feedbackOptions.saveImatrix else {
      throw Failure(
        .usage, "--part: --save-imatrix needs all layers", hint: "measure it in parts with qtool imatrix")
    }
    // The matrices of a part see the whole text.
    guard
      files[0].target != nil || feedback != nil || weighing.imatrix != nil || weighing.noImportance
        || !files[0].mix.needsImportance
    else {
      throw Failure(
        .usage, "--part: the importance must be the same for all parts", hint: "give --imatrix FILE of an earlier run")
    }
  }

  /// Chooses the types of a file.
  func plan(
    _ file: QuantizedFile, _ source: any ModelSource, _ constraints: TypeConstraints,
    _ overrides: [(key: String, value: MetadataValue)], _ run: FitRun, _ progress: Progress
  ) throws -> PlannedFile {
    if let job = file.job {
      let matrix = try job.importance()
      let report = try job.run(matrix)
      let plan = try job.header(matrix, evidence: report.evidence).plan(report.types(for: source))
      try job.effectiveConstraints(matrix).noteReplacements(in: plan.types, of: source, progress)
      return PlannedFile(file: file, plan: plan, matrix: matrix, report: report)
    }
    // The pass of error feedback computes the importance.
    let isFoundOnTheWay = file.feedback != nil && weighing.imatrix == nil
    let matrix =
      isFoundOnTheWay ? nil : try file.importance.matrix(of: source, in: run, workspace: file.workspace)
    let effective = try file.importance.constraints(constraints, matrix, of: source)
    var header = OutputHeader(
      source: source,
      importance: isFoundOnTheWay ? file.feedback?.importance : file.importance.provenance(matrix),
      fingerprint: try ModelFingerprint(of: source).hex, overrides: overrides)
    header.feedback = file.feedback?.provenance
    let plan = try file.mix.plan(
      header, effective, constraintOptions, hasImportance: isFoundOnTheWay || matrix != nil, progress)
    return PlannedFile(file: file, plan: plan, matrix: matrix, report: nil, measuresImportance: isFoundOnTheWay)
  }

  /// Writes the files and prints their types; on a dry run, only prints them.
  ///
  /// - Parameter share: the part to write, or the parts to join; nil for whole files.
  func finish(
    _ planned: [PlannedFile], _ share: PartOptions.Choice?, _ removal: SourceRemoval?, _ run: FitRun,
    _ progress: Progress
  ) throws {
    var files = planned
    let writings = try files.map { file in
      try file.file.feedback.flatMap {
        try FeedbackWriting(
          file.plan, feedback: $0, importance: file.matrix,
          savesImportance: feedbackOptions.saveImatrix && file.measuresImportance, states: feedbackOptions.states,
          share: share, forward: options.forward, progress)
      }
    }
    if feedbackOptions.saveImatrix, files.contains(where: { $0.file.job == nil && !$0.measuresImportance }) {
      progress.note("note: --save-imatrix: without error feedback, no importance is measured")
    }
    let passes = try FeedbackPasses(
      files.indices.compactMap { index in
        guard let writing = writings[index], let output = files[index].file.destination else { return nil }
        return FeedbackPasses.File(index: index, writing: writing, output: output, importance: files[index].matrix)
      })
    if let note = passes.note { progress.note(note) }
    if !outputOptions.dryRun {
      if let first = files.first { progress.noteIntegers(in: first.plan.source) }
      for file in files where file.plan.container == nil {
        let name = files.count > 1 ? file.file.mix.name + ": " : ""
        for verdict in file.plan.compatibility.verdicts { progress.note(name + verdict.line) }
      }
      try write(files, passes, share, removal, run, progress)
      if removal != nil, let file = files.first(where: { $0.report?.isEstimated == true }) {
        let words = BaselineWords(for: file.plan.source)
        progress.note("note: the written file is not compared with \(words.many): its source is removed")
      }
      for index in files.indices where removal == nil {
        try compare(&files[index], hasFeedback: writings[index] != nil)
      }
      for file in files { file.file.workspace?.forgetChoice() }
    }
    if case .one(let part) = share, !outputOptions.dryRun, let destination = files[0].file.destination {
      return print("\(destination.output): part \(part)")
    }
    for (index, file) in files.enumerated() {
      if index > 0 { print() }
      if outputOptions.dryRun, files.count > 1 { print("\(file.file.mix.name):\n") }
      print(outputOptions.dryRun ? QuantizationTable.tensors(file.plan) : QuantizationTable.types(file.plan))
      let words = BaselineWords(for: file.plan.source)
      for line in file.report?.lines(words) ?? [] { print(line) }
      if file.report?.isEstimated == true, outputOptions.dryRun {
        print("the drift with error feedback, and that of \(words.many), is measured on the written file")
      }
      if !outputOptions.dryRun, let destination = file.file.destination {
        print("\n\(destination.output): \(QuantizationTable.total(file.plan))")
      }
    }
  }

  /// Compares the file of a fit with stock mixes, where its drift was only estimated.
  private func compare(_ file: inout PlannedFile, hasFeedback: Bool) throws {
    guard file.report?.isEstimated == true, let job = file.file.job, let destination = file.file.destination else {
      return
    }
    do {
      let path = destination.output
      let model: any ModelSource = MLXModel.isMLX(path) ? try MLXModel(path: path) : try openModel(path: path)
      var written = try file.report.flatMap { try job.compare(model, file.matrix, $0) }
      written?.hasFeedback = hasFeedback
      file.report?.written = written
    } catch is Interruption {
      throw Failure(.interrupted, "\(destination.output) is complete; its comparison with other mixes was interrupted")
    }
  }

  /// Files with error feedback come first, as many in a pass as can share one. The remaining files are written in one reading.
  /// Journals remain until all files are complete.
  private func write(
    _ files: [PlannedFile], _ passes: FeedbackPasses, _ share: PartOptions.Choice?, _ removal: SourceRemoval?,
    _ run: FitRun, _ progress: Progress
  ) throws {
    // Until all files are complete and the source is removed, a run that is killed goes on.
    let isGroup = files.count > 1 || removal != nil
    for pass in passes.passes {
      let reports = try FeedbackPasses.write(
        pass, checksums: outputOptions.checksums, keepsJournals: isGroup, removal)
      for (index, written) in zip(pass.map(\.index), reports) {
        let file = files[index]
        if feedbackOptions.saveImatrix, file.measuresImportance, written.importance == nil {
          progress.note("note: --save-imatrix: an earlier run had encoded every matrix, and no importance was measured")
        }
        // A matrix of the whole text, which other runs may use too.
        guard let importance = written.importance, let workspace = file.file.workspace,
          let feedback = file.file.feedback
        else { continue }
        let path = try workspace.keep(importance, of: file.plan.source, windows: feedback.windows, in: run)
        progress.note("importance: \(path)")
      }
    }
    let withFeedback = Set(passes.passes.joined().map(\.index))
    let plain = files.indices.filter { !withFeedback.contains($0) }.compactMap { index in
      files[index].file.destination.map { (files[index].plan, files[index].matrix, $0) }
    }
    if !plain.isEmpty {
      try qtool.write(
        plain, checksums: outputOptions.checksums, keepsJournals: isGroup, parts: share, removal, progress)
    }
    try removal?.end()
    guard isGroup else { return }
    for file in files { if let destination = file.file.destination { RunJournal.remove(of: destination.output) } }
  }
}
