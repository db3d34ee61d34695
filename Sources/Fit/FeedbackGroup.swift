import Files
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// Writes several files of one model with error feedback in one pass.
///
///     let members = runs.map { FeedbackGroup.Member($0, path: "model-\($0.plan.types[0]).gguf", options: options) }
///     let reports = try FeedbackGroup(members).write()
///
/// Each file has the bytes that ``FeedbackRun`` writes. In two streams, the exact one is computed once; each file has a
/// stream through its own rounded layers, and its Gram matrices are sums over that stream. In one stream, all files have
/// the same inputs, and the Gram matrices are summed once.
public struct FeedbackGroup {
  /// A file of the group.
  public struct Member {
    let run: FeedbackRun
    let path: String
    let options: RewriteOptions
    let importanceKey: String
    var snapshots: String { path + ".snapshot" }

    /// - Parameters:
    ///   - options: for a whole file, not for a part.
    ///   - importanceKey: the digest of the run's importance.
    public init(_ run: FeedbackRun, path: String, options: RewriteOptions, importanceKey: String = "") {
      (self.run, self.path, self.options, self.importanceKey) = (run, path, options, importanceKey)
    }
  }

  private let members: [Member]

  /// - Parameter members: the files. ``canShare(_:_:)`` holds for any two of them, and they are at most as many as
  ///   ``maximumCount(_:)``.
  public init(_ members: [Member]) {
    precondition(!members.isEmpty, "a group without files")
    precondition(members.allSatisfy { Self.canShare(members[0].run, $0.run) }, "runs of other texts or widths")
    self.members = members
  }

  /// Whether one pass serves two runs.
  public static func canShare(_ one: FeedbackRun, _ other: FeedbackRun) -> Bool {
    one.windows == other.windows && one.isSequential == other.isSequential && one.sections == other.sections
      && (one.isSequential || one.blocks.widths == other.blocks.widths)
      && RewriteGroup.canShare(one.plan.source, other.plan.source)
      && one.plan.source.tensors.map(\.type) == other.plan.source.tensors.map(\.type)
  }

  /// The maximum number of files of a pass: those whose streams are in memory together. In one stream, files need no memory
  /// of their own.
  public static func maximumCount(_ run: FeedbackRun) throws -> Int {
    guard run.isSequential else { return .max }
    let observer = PairCollector(workBytes: run.blocks.bytes, wants: { _ in true }, receive: { _ in })
    let further = try run.pass.furtherStreams(
      windows: run.windows.count, length: run.windows.first?.count ?? 0, observer: observer)
    return 1 + (further?.count ?? 0)
  }

  private var pass: ForwardPass { members[0].run.pass }
  private var windows: [[Int32]] { members[0].run.windows }

  /// A file while it is written.
  private struct Output {
    let member: Member
    let session: RewriteSession
    let encoder: FeedbackEncoder
    /// Tensors by name that the pass encodes, and those of them that no earlier run has written.
    let planned: [String: Int]
    let remaining: [String: Int]
    let sums: PassImportance?

    /// Whether every tensor of the layers before one is written. If not, the text goes through those layers again.
    func isWhole(before layer: Int) -> Bool {
      layer <= remaining.keys.compactMap { TensorName($0).layer }.min() ?? .max
    }

    func snapshots(_ name: String, _ suffix: String = "") -> PassSnapshots? {
      session.journal.map {
        PassSnapshots($0, name: name, path: member.snapshots + suffix, seconds: member.run.snapshotSeconds)
      }
    }
  }

  /// Writes all files.
  ///
  /// - Parameter progress: as in ``FeedbackRun/write(to:options:progress:)``
  /// - Returns: the members' reports, in their order.
  /// - Throws: `Paused`, ``QuantizeError``, `ForwardError`, and errors of reading and writing.
  public func write(progress: any RunObserver = NoObserver()) throws -> [FeedbackReport] {
    for member in members where member.options.restart { PrefixedFiles(member.snapshots + "-").remove() }
    do {
      var reports = members.map { _ in FeedbackReport() }
      let tensors = members[0].run.plan.source.tensors
      let progress = FeedbackProgress(
        progress, work: try FeedbackWork(of: members.map(\.run)),
        rows: members.flatMap { _ in tensors.map(\.shape.rows) })
      let rewritten = try RewriteGroup(
        members.map {
          RewriteGroup.Member(
            $0.run.plan, path: $0.path, options: $0.options, importance: $0.run.importance,
            importanceKey: $0.importanceKey)
        }
      ).write(progress: progress) { sessions in
        try encode(sessions, into: &reports, progress)
        progress.endPass()
      }
      for member in members { PrefixedFiles(member.snapshots + "-").remove() }
      for (index, report) in rewritten.enumerated() { reports[index].rewrite = report }
      return reports
    } catch {
      for member in members {
        // Where files of the source are removed, only a snapshot can continue the run.
        let isNeeded = member.options.removal?.hasBegun == true
        if !isNeeded, member.options.identity == nil || !RunJournal.isWorthKeeping(after: error) {
          PrefixedFiles(member.snapshots + "-").remove()
        }
      }
      throw error
    }
  }

  private func encode(
    _ sessions: [RewriteSession?], into reports: inout [FeedbackReport], _ progress: FeedbackProgress
  ) throws {
    let count = members[0].run.plan.source.tensors.count
    var outputs: [(index: Int, output: Output)] = []
    var done: [Int] = []
    for (index, (member, session)) in zip(members, sessions).enumerated() {
      let run = member.run
      let planned = run.tensors
      let remaining = try session.map { session in try planned.filter { try !session.isWritten($0.value) } } ?? [:]
      done += planned.filter { remaining[$0.key] == nil }.map { index * count + $0.value }
      guard let session else { continue }
      let encoder = FeedbackEncoder(
        session, effort: run.effort, importance: run.importance, rowBytes: run.rowBytes, progress: progress,
        firstTensor: index * count)
      let sums = run.dataset.map { PassImportance($0, journal: session.journal, path: member.snapshots) }
      let output = Output(
        member: member, session: session, encoder: encoder, planned: planned, remaining: remaining, sums: sums)
      outputs.append((index, output))
    }
    let active = outputs.map(\.output).filter { !$0.remaining.isEmpty }
    progress.start(without: done, hasPass: !active.isEmpty)
    if !active.isEmpty {
      if members[0].run.isSequential { try runPairs(active, progress) } else { try runOne(active, progress) }
    }
    for (index, output) in outputs {
      reports[index] = output.encoder.report(output.remaining.isEmpty ? nil : output.sums?.matrix(of: windows))
    }
  }

  // MARK: one stream

  /// Runs the text through the exact model. The sums over every input serve all files.
  private func runOne(_ outputs: [Output], _ progress: FeedbackProgress) throws {
    let collector = GramCollector(
      tokens: windows.reduce(0) { $0 + $1.count },
      wantsOutput: outputs.contains { $0.remaining[pass.decoder.output.name] != nil },
      workBytes: outputs.map(\.member.run.blocks.bytes).max() ?? 0,
      wants: { name in outputs.contains { $0.remaining[name] != nil } },
      blockColumns: outputs[0].member.run.blocks.width
    ) { input in
      for output in outputs {
        try output.encoder.receive(
          input, wanted: input.tensors.compactMap { output.remaining[$0] },
          planned: input.tensors.compactMap { output.planned[$0] })
      }
    }
    let kept = outputs.map { $0.snapshots("feedback") }
    let observer = outputs.compactMap(\.sums).reduce(collector as any ForwardObserver) {
      ObserverPair($0, $1.collector)
    }
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: observer,
      resuming: try resumed(outputs, kept) {
        try kept[0]?.states(behind: $0, of: pass, windows: windows, observer: collector)
      },
      progress: SessionProgress(session: outputs[0].session, layers: pass.decoder.layerCount, work: progress),
      snapshot: { states in
        try collector.close()
        for output in outputs { try output.encoder.endLayer() }
        try pausing(progress) { isPausing in
          guard let main = kept[0], isPausing || main.isDue else { return }
          try write(states, main, outputs, kept, rounded: nil)
        }
      })
    try collector.close()
    for output in outputs { try output.encoder.endLayer() }
  }

  // MARK: two streams

  /// Runs the text through the exact model, and beside it through the layers of each file that are rounded so far: weights
  /// are rounded for the inputs that they will have.
  private func runPairs(_ outputs: [Output], _ progress: FeedbackProgress) throws {
    let rounded = try outputs.map { output -> (source: any ModelSource, observer: any PairObserver) in
      let model = try Self.rounded(output)
      let blocks = output.member.run.blocks
      let collector = PairCollector(
        workBytes: blocks.bytes, wants: { output.remaining[$0] != nil }, blockColumns: blocks.width
      ) { input in
        try output.encoder.receive(input, wanted: input.tensors.compactMap { output.remaining[$0] }, into: model)
      }
      return (model, output.sums.map { PairedObservers(collector, $0.collector) } ?? collector)
    }
    let kept = outputs.map { $0.snapshots("feedback") }
    let keptRounded = outputs.map { $0.snapshots("feedback, rounded", "-rounded") }
    try pass.runPairs(
      windows: windows, rounded: rounded, starts: members[0].run.starts,
      resuming: try resumed(outputs, kept) { layer -> (exact: HiddenStates, rounded: [HiddenStates])? in
        guard let exact = try kept[0]?.states(behind: layer, of: pass, windows: windows) else { return nil }
        let others = try keptRounded.compactMap { try $0?.states(behind: layer, of: pass, windows: windows) }
        return others.count == outputs.count ? (exact, others) : nil
      },
      progress: SessionProgress(session: outputs[0].session, layers: pass.decoder.layerCount, work: progress)
    ) { exact, others in
      try pausing(progress) { isPausing in
        guard let main = kept[0], isPausing || main.isDue else { return }
        try write(exact, main, outputs, kept, rounded: zip(keptRounded, others).map { (kept: $0, states: $1) })
      }
    }
  }

  /// The model that a file's stream goes through, with the tensors that are written already.
  private static func rounded(_ output: Output) throws -> RoundedModel {
    let (session, plan) = (output.session, output.member.run.plan)
    let model = RoundedModel(session)
    for (name, index) in output.planned where output.remaining[name] == nil {
      if try session.isWritten(index) { model.add(name) }
    }
    // A tied head is encoded at the end.
    let embedding = "token_embd.weight"
    if output.planned[embedding] == nil,
      let index = plan.source.tensors.firstIndex(where: { $0.name == embedding }),
      plan.types[index] != plan.source.tensors[index].type, plan.types[index].isQuantized
    {
      if try !session.isWritten(index) { try output.encoder.encodePlainly(index) }
      model.add(embedding)
    }
    return model
  }

  // MARK: snapshots

  /// Writes the states behind a layer, the exact ones once. They imply that the tensors of the layers before are written.
  ///
  /// - Parameter rounded: the snapshots and states of the files' own streams; nil where there is one stream.
  private func write(
    _ states: HiddenStates, _ main: PassSnapshots, _ outputs: [Output], _ kept: [PassSnapshots?],
    rounded: [(kept: PassSnapshots?, states: HiddenStates)]?
  ) throws {
    // Earlier states remain until all of those behind this layer are written.
    var files = [Set<String>](repeating: [], count: outputs.count)
    for (index, output) in outputs.enumerated() {
      try output.session.flush()
      if let (kept, states) = rounded?[index], let kept {
        try kept.write(states, of: windows, by: pass, removesOthers: false)
        files[index].insert(kept.file(states.layer))
      }
      if let file = try output.sums?.write(behind: states.layer, of: windows) { files[index].insert(file) }
    }
    try main.write(states, of: windows, by: pass, removesOthers: false)
    for other in kept.dropFirst() { try other?.adopt(main, behind: states.layer) }
    for (kept, files) in zip(kept, files) { kept?.removeOthers(than: states.layer, keeping: files) }
    for output in outputs { try output.session.release(before: states.layer) }
  }

  /// The states behind the last layer that all files have come to; nil to begin again.
  private func resumed<States>(
    _ outputs: [Output], _ kept: [PassSnapshots?], states: (_ layer: Int) throws -> States?
  ) throws -> States? {
    for layer in kept[0]?.layers(of: pass) ?? [] where outputs.allSatisfy({ $0.isWhole(before: layer) }) {
      let sums = outputs.map { $0.sums?.sums(behind: layer) }
      guard zip(outputs, sums).allSatisfy({ $0.sums == nil || $1 != nil }), let states = try states(layer) else {
        continue
      }
      for (output, sums) in zip(outputs, sums) { if let sums { output.sums?.collector.resume(from: sums) } }
      return states
    }
    return nil
  }
}

extension FeedbackWork {
  /// The work of runs that share a pass. The tensors of each run follow those of the run before.
  init(of runs: [FeedbackRun]) throws {
    let all = try runs.map { try $0.expectedWork ?? $0.work(at: Speed()) }
    self = all[0]
    let count = runs[0].plan.source.tensors.count
    encoding = [:]
    for (index, work) in all.enumerated() {
      for (tensor, seconds) in work.encoding { encoding[index * count + tensor] = seconds }
    }
    // All files share the exact stream. Runs in one stream share the whole pass.
    pass = all.reduce(0) { $0 + $1.pass } / Double(all.count)
    if streams > 1 { pass *= Double(all.count + 1) / 2 }
  }
}
