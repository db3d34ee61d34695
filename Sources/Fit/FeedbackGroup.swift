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
/// Each file has the bytes that ``FeedbackRun`` writes, which is a group of one. Only such a group can write a part of a file.
/// In two streams, the exact one is computed once; each file has a stream through its own rounded layers, and its Gram
/// matrices are sums over that stream. In one stream, all files have the same inputs, and the Gram matrices are summed once.
public struct FeedbackGroup {
  /// A file of the group.
  public struct Member {
    let run: FeedbackRun
    let path: String
    let options: RewriteOptions
    let importanceKey: String

    /// - Parameters:
    ///   - options: for a part only in a group of one.
    ///   - importanceKey: the digest of the run's importance.
    public init(_ run: FeedbackRun, path: String, options: RewriteOptions, importanceKey: String = "") {
      (self.run, self.path, self.options, self.importanceKey) = (run, path, options, importanceKey)
    }

    /// The part that is written; nil for the whole file.
    var part: RunPart? { if case .one(let part, _) = options.parts { part } else { nil } }
    /// The beginning of the paths of the snapshots.
    var snapshots: String { (part.map { PartRecord.prefix(path, $0) } ?? path) + ".snapshot" }

    /// The file as it is rewritten, with the tensors of its part.
    func rewritten() throws -> RewriteGroup.Member {
      var options = options
      options.chosen = try part.map { try run.tensors(of: $0) } ?? options.chosen
      return RewriteGroup.Member(
        run.plan, path: path, options: options, importance: run.importance, importanceKey: importanceKey)
    }

    /// The work of the run, or of its part.
    func work() throws -> FeedbackWork {
      try run.share(of: part, in: run.expectedWork ?? run.work(at: FeedbackWork.Speed()))
    }
  }

  private let members: [Member]

  /// - Parameter members: the files. ``canShare(_:_:)`` holds for any two of them, and they are at most as many as
  ///   ``maximumCount(_:)``.
  public init(_ members: [Member]) {
    precondition(!members.isEmpty, "a group without files")
    precondition(members.allSatisfy { Self.canShare(members[0].run, $0.run) }, "runs of other texts or widths")
    precondition(members.count == 1 || members.allSatisfy { $0.part == nil }, "parts of several files")
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

  var run: FeedbackRun { members[0].run }
  private var pass: ForwardPass { run.pass }
  private var windows: [[Int32]] { run.windows }

  /// A file while it is written.
  struct Output {
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
  /// - Throws: `Paused`, ``QuantizeError``, `ForwardError`, `PartsError`, and errors of reading and writing.
  public func write(progress: any RunObserver = NoObserver()) throws -> [FeedbackReport] {
    let layers = try run.layers(of: members[0].part)
    let rewriting = RewriteGroup(try members.map { try $0.rewritten() })
    for member in members where member.options.restart { PrefixedFiles(member.snapshots + "-").remove() }
    do {
      var reports = members.map { _ in FeedbackReport() }
      let tensors = run.plan.source.tensors
      let progress = FeedbackProgress(
        progress, work: FeedbackWork(sharing: try members.map { try $0.work() }, tensorCount: tensors.count),
        rows: members.flatMap { _ in tensors.map(\.shape.rows) })
      let rewritten = try rewriting.write(progress: progress) { sessions in
        try encode(sessions, layers, into: &reports, progress: progress)
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
    _ sessions: [RewriteSession?], _ layers: Range<Int>, into reports: inout [FeedbackReport],
    progress: FeedbackProgress
  ) throws {
    let count = run.plan.source.tensors.count
    var outputs: [(index: Int, output: Output)] = []
    var done: [Int] = []
    for (index, (member, session)) in zip(members, sessions).enumerated() {
      let run = member.run
      let chosen = try member.part.map { try run.tensors(of: $0) }
      let planned = run.tensors.filter { chosen?.contains($0.value) != false }
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
      if run.isSequential {
        try runPairs(active, layers, progress: progress)
      } else {
        try runOne(active, layers, progress: progress)
      }
    }
    for (index, output) in outputs {
      reports[index] = output.encoder.report(output.remaining.isEmpty ? nil : output.sums?.matrix(of: windows))
    }
  }

  // MARK: one stream

  /// Runs the text through the exact model. The sums over every input serve all files.
  private func runOne(_ outputs: [Output], _ layers: Range<Int>, progress: FeedbackProgress) throws {
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
    let whole = outputs.compactMap(\.sums).reduce(collector as any ForwardObserver) { ObserverPair($0, $1.collector) }
    let observer = layers.lowerBound > 0 ? LaterLayers(of: whole, from: layers.lowerBound) : whole
    let states = try pass.advance(
      windows: windows, before: layers.upperBound, observer: observer,
      resuming: try resumed(outputs, layers, kept: kept) {
        try kept[0]?.states(behind: $0, of: pass, windows: windows, observer: collector)
      } ?? run.states(before: layers.lowerBound),
      progress: SessionProgress(session: outputs[0].session, layers: pass.decoder.layerCount, work: progress),
      snapshot: { states in
        try collector.close()
        for output in outputs { try output.encoder.endLayer() }
        try pausing(progress) { isPausing in
          guard let main = kept[0], isPausing || main.isDue else { return }
          try write(states, of: outputs, kept: kept, rounded: [])
        }
      })
    if layers.upperBound == pass.decoder.layerCount {
      _ = try pass.finish(states, scored: 0..<0, observer: observer)
    }
    try collector.close()
    for output in outputs { try output.encoder.endLayer() }
  }

  // MARK: two streams

  /// Runs the text through the exact model, and beside it through the layers of each file that are rounded so far: weights
  /// are rounded for the inputs that they will have.
  private func runPairs(_ outputs: [Output], _ layers: Range<Int>, progress: FeedbackProgress) throws {
    let rounded = try outputs.map { output -> (source: any ModelSource, observer: any PairObserver) in
      // The stream of a later part begins with the states before its layers.
      let model = try Self.rounded(output, withEmbedding: layers.lowerBound == 0)
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
      windows: windows, rounded: rounded, layers: layers, starts: run.starts,
      resuming: try resumed(outputs, layers, kept: kept) { layer -> (exact: HiddenStates, rounded: [HiddenStates])? in
        guard let exact = try kept[0]?.states(behind: layer, of: pass, windows: windows) else { return nil }
        if layer <= layers.lowerBound { return (exact, []) }
        let others = try keptRounded.compactMap { try $0?.states(behind: layer, of: pass, windows: windows) }
        return others.count == outputs.count ? (exact, others) : nil
      } ?? run.states(before: layers.lowerBound).map { ($0, []) },
      progress: SessionProgress(session: outputs[0].session, layers: pass.decoder.layerCount, work: progress)
    ) { exact, others in
      try pausing(progress) { isPausing in
        guard let main = kept[0], isPausing || main.isDue else { return }
        try write(exact, of: outputs, kept: kept, rounded: zip(keptRounded, others).map { (kept: $0, states: $1) })
      }
    }
  }

  /// The model that a file's stream goes through, with the tensors that are written already.
  private static func rounded(_ output: Output, withEmbedding: Bool) throws -> RoundedModel {
    let (session, plan) = (output.session, output.member.run.plan)
    let model = RoundedModel(session)
    for (name, index) in output.planned where output.remaining[name] == nil {
      if try session.isWritten(index) { model.add(name) }
    }
    // A tied head is encoded at the end, in the last part.
    let embedding = "token_embd.weight"
    if withEmbedding, output.member.run.tensors[embedding] == nil,
      let index = plan.source.tensors.firstIndex(where: { $0.name == embedding }),
      plan.types[index] != plan.source.tensors[index].type, plan.types[index].isQuantized
    {
      if try !session.isWritten(index) { try output.encoder.encodePlainly(index) }
      model.add(embedding)
    }
    return model
  }
}

/// Reports the current layer to a rewriting's observer.
struct SessionProgress: RunObserver {
  let session: RewriteSession
  let layers: Int
  let work: FeedbackProgress

  func advance(_ progress: RunProgress) throws {
    work.advancePass(progress.fraction, step: progress.step)
    try session.advance("layer \(min(progress.step + 1, layers)) of \(layers)")
  }
}
