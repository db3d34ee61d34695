import Blocks
import Files
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// Writes a model with error feedback: the rounding error of each weight is fed into the weights that are not rounded yet,
/// in the metric of their layer's inputs.
///
///     var run = try FeedbackRun(plan, windows: windows, forward: options)
///     let report = try run.write(to: path, options: RewriteOptions())
///
/// The text goes through the model layer by layer. When an input of a layer is complete, the matrices that are multiplied by it
/// are encoded and written. Tensors without an input are encoded as ``Rewriter`` does.
public struct FeedbackRun {
  public let plan: RewritePlan
  public let windows: [[Int32]]
  public var effort = FeedbackEffort.descent
  /// Whether each layer is rounded for its inputs behind the rounded layers. False for models whose layers don't allow it.
  public let isSequential: Bool
  /// Importance for types without feedback; nil to use the mean squares of the same pass.
  public var importance: Importance?
  /// Names of the texts for ``FeedbackReport/importance``; nil to measure none.
  public var dataset: [String]?
  /// Whether to use feedback for a tensor that can have it.
  public var wants: (TensorInfo) -> Bool = { _ in true }
  /// Sections of layers that do not depend on each other (FeedbackSections.swift). Only two streams depend on it.
  public var sections = 1
  /// The states with which sections begin, where an earlier run has kept them; else each part computes its own.
  public internal(set) var keptStates: KeptStates?
  /// Seconds between two snapshots of the pass.
  public var snapshotSeconds = 600.0
  /// The width of diagonal blocks, and the memory that they take.
  public let blocks: FeedbackBlocks
  /// The work that progress is reported in; nil for that of a nominal machine.
  public var expectedWork: FeedbackWork?
  let pass: ForwardPass
  let rowBytes: Int

  /// - Throws: `ForwardError` where the model has no forward pass.
  public init(
    _ plan: RewritePlan, windows: [[Int32]], forward: ForwardOptions, isSequential: Bool = true
  ) throws {
    self.plan = plan
    self.windows = windows
    pass = try ForwardPass(source: plan.source, options: forward)
    self.isSequential = isSequential && pass.runsPairs
    let share = forward.budget.feedback
    // Rows are small beside sums and factor, and at least a megabyte, so that a call serves all threads.
    rowBytes = min(plan.chunkBytes, max(1 << 20, share / 16))
    let seen = Self.seen(by: pass.decoder)
    let encoded = plan.source.tensors.indices.filter { Self.isEncoded($0, of: plan, seen: seen) }
    blocks = FeedbackBlocks(
      encoded.map { (plan.source.tensors[$0], plan.types[$0]) }, tokens: windows.reduce(0) { $0 + $1.count },
      isPaired: self.isSequential,
      rowBytes: 2 * rowBytes,
      share: share)
  }

  /// The tensors whose inputs a pass sees.
  private static func seen(by decoder: Decoder) -> Set<String> {
    Set(decoder.layerMatrices.map(\.name) + [decoder.output.name])
  }

  /// The memory and work of the pass.
  func passPlan() throws -> ForwardPlan {
    let (count, length) = (windows.count, windows.first?.count ?? 0)
    if isSequential {
      let observer = PairCollector(workBytes: blocks.bytes, wants: { _ in true }, receive: { _ in })
      return try pass.pairPlan(windows: count, length: length, observer: observer)
    }
    return try pass.plan(
      windows: count, length: length,
      observer: GramCollector(
        tokens: count * length, wantsOutput: tensors[pass.decoder.output.name] != nil, workBytes: blocks.bytes,
        receive: { _ in }))
  }

  /// Whether any tensor is encoded with feedback.
  public var hasWork: Bool {
    let seen = Self.seen(by: pass.decoder)
    return zip(plan.source.tensors, plan.types).contains {
      seen.contains($0.name) && $1 != $0.type && $1.takesFeedback && wants($0)
    }
  }

  /// Indices of the tensors that the pass encodes, by name: with feedback, or with importance if their types take none.
  var tensors: [String: Int] {
    let seen = Self.seen(by: pass.decoder)
    var result: [String: Int] = [:]
    for (index, tensor) in plan.source.tensors.enumerated()
    where Self.isEncoded(index, of: plan, seen: seen) && wants(tensor) { result[tensor.name] = index }
    return result
  }

  private static func isEncoded(_ index: Int, of plan: RewritePlan, seen: Set<String>) -> Bool {
    let (tensor, type) = (plan.source.tensors[index], plan.types[index])
    return seen.contains(tensor.name) && type != tensor.type && type.isQuantized && tensor.isQuantizable
  }

  /// Writes the file.
  ///
  /// - Parameter progress: receives every block of rows that was encoded; its steps are tensors. May pause after every
  ///   tensor and layer.
  /// - Throws: `Paused`, ``QuantizeError``, `ForwardError`, and errors of reading and writing.
  public func write(
    to path: String, options: RewriteOptions, progress: any RunObserver = NoObserver()
  ) throws -> FeedbackReport {
    var options = options
    var part: RunPart?
    if case .one(let one, _) = options.parts {
      part = one
      options.chosen = try tensors(of: one)
    }
    let range = try layers(of: part)
    let snapshots = (part.map { PartRecord.prefix(path, $0) } ?? path) + ".snapshot"
    if options.restart { PrefixedFiles(snapshots + "-").remove() }
    do {
      var report = FeedbackReport()
      let work = try share(of: part, in: expectedWork ?? work(at: FeedbackWork.Speed()))
      let progress = FeedbackProgress(progress, work: work, rows: plan.source.tensors.map(\.shape.rows))
      let rewritten = try Rewriter(plan, importance: importance).write(
        to: path, options: options, progress: progress
      ) {
        report = try encode($0, chosen: options.chosen, range, snapshots, progress)
        progress.endPass()
      }
      PrefixedFiles(snapshots + "-").remove()
      report.rewrite = rewritten
      return report
    } catch {
      // Where files of the source are removed, only a snapshot can continue the run.
      let isNeeded = options.removal?.hasBegun == true
      if !isNeeded, options.identity == nil || !RunJournal.isWorthKeeping(after: error) {
        PrefixedFiles(snapshots + "-").remove()
      }
      throw error
    }
  }

  private func encode(
    _ session: RewriteSession, chosen: Set<Int>?, _ layers: Range<Int>, _ snapshots: String,
    _ progress: FeedbackProgress
  ) throws -> FeedbackReport {
    let encoder = FeedbackEncoder(
      session, effort: effort, importance: importance, rowBytes: rowBytes, progress: progress)
    let planned = tensors.filter { chosen?.contains($0.value) != false }
    var remaining = try planned.filter { try !session.isWritten($0.value) }
    progress.start(
      without: planned.filter { remaining[$0.key] == nil }.map(\.value), hasPass: !remaining.isEmpty)
    guard !remaining.isEmpty else { return encoder.report }
    let sums = dataset.map { PassImportance($0, journal: session.journal, path: snapshots) }
    if isSequential {
      try runPair(session, encoder, planned, remaining, layers, sums, snapshots, progress)
      return encoder.report(sums?.matrix(of: windows))
    }
    let collector = GramCollector(
      tokens: windows.reduce(0) { $0 + $1.count }, wantsOutput: remaining[pass.decoder.output.name] != nil,
      workBytes: blocks.bytes, wants: { remaining[$0] != nil }, blockColumns: blocks.width
    ) { input in
      try encoder.receive(
        input, wanted: input.tensors.compactMap { remaining[$0] }, planned: input.tensors.compactMap { planned[$0] })
    }
    let kept = session.journal.map {
      PassSnapshots($0, name: "feedback", path: snapshots, seconds: snapshotSeconds)
    }
    let whole: any ForwardObserver = sums.map { ObserverPair(collector, $0.collector) } ?? collector
    let observer = layers.lowerBound > 0 ? LaterLayers(of: whole, from: layers.lowerBound) : whole
    let resumed = try kept?.states(of: pass, windows: windows, observer: collector).flatMap {
      isWhole(before: $0.layer, remaining) && sums?.resume(behind: $0.layer) != false ? $0 : nil
    }
    let states = try pass.advance(
      windows: windows, before: layers.upperBound, observer: observer,
      resuming: try resumed ?? self.states(before: layers.lowerBound),
      progress: SessionProgress(session: session, layers: pass.decoder.layerCount, work: progress),
      snapshot: { states in
        try collector.close()
        try encoder.endLayer()
        try pausing(progress) { isPausing in
          guard let kept, isPausing || kept.isDue else { return }
          // A snapshot of the states behind a layer implies that the layer's tensors are written.
          try session.flush()
          let file = try sums?.write(behind: states.layer, of: windows)
          try kept.write(states, of: windows, by: pass, keeping: Set([file].compactMap { $0 }))
          try session.release(before: states.layer)
        }
      })
    if layers.upperBound == pass.decoder.layerCount {
      _ = try pass.finish(states, scored: 0..<0, observer: observer)
    }
    try collector.close()
    try encoder.endLayer()
    remaining = [:]
    return encoder.report(sums?.matrix(of: windows))
  }
}

extension FeedbackRun {
  /// Runs the text through the exact model and through the layers that are rounded so far, side by side: weights are rounded
  /// for the inputs that they will have.
  private func runPair(
    _ session: RewriteSession, _ encoder: FeedbackEncoder, _ planned: [String: Int], _ remaining: [String: Int],
    _ layers: Range<Int>, _ sums: PassImportance?, _ snapshots: String, _ progress: FeedbackProgress
  ) throws {
    let rounded = RoundedModel(session)
    for (name, index) in planned where remaining[name] == nil { if try session.isWritten(index) { rounded.add(name) } }
    // The second stream of the first section reads the rounded embedding. A tied head is encoded at the end.
    let embedding = "token_embd.weight"
    if layers.lowerBound == 0, tensors[embedding] == nil,
      let index = plan.source.tensors.firstIndex(where: { $0.name == embedding }),
      plan.types[index] != plan.source.tensors[index].type, plan.types[index].isQuantized
    {
      if try !session.isWritten(index) { try encoder.encodePlainly(index) }
      rounded.add(embedding)
    }
    let collector = PairCollector(
      workBytes: blocks.bytes, wants: { remaining[$0] != nil }, blockColumns: blocks.width
    ) { input in
      try encoder.receive(input, wanted: input.tensors.compactMap { remaining[$0] }, into: rounded)
    }
    let kept = session.journal.map { journal in
      (
        exact: PassSnapshots(journal, name: "feedback", path: snapshots, seconds: snapshotSeconds),
        rounded: PassSnapshots(
          journal, name: "feedback, rounded", path: snapshots + "-rounded", seconds: snapshotSeconds)
      )
    }
    try pass.runPair(
      windows: windows, rounded: rounded, observer: sums.map { PairedObservers(collector, $0.collector) } ?? collector,
      layers: layers, starts: starts,
      resuming: try kept.flatMap { kept -> (exact: HiddenStates, rounded: HiddenStates?)? in
        for layer in kept.exact.layers(of: pass) {
          guard let exact = try kept.exact.states(behind: layer, of: pass, windows: windows) else { continue }
          // Before the part's own layers, there is one stream.
          if layer <= layers.lowerBound {
            return layer > 0 && (keptStates == nil || layer == layers.lowerBound) ? (exact, nil) : nil
          }
          guard isWhole(before: layer, remaining),
            let second = try kept.rounded.states(behind: layer, of: pass, windows: windows),
            sums?.resume(behind: layer) != false
          else { continue }
          return (exact, second)
        }
        return nil
      } ?? states(before: layers.lowerBound).map { ($0, nil) },
      progress: SessionProgress(session: session, layers: pass.decoder.layerCount, work: progress)
    ) { exact, second in
      try pausing(progress) { isPausing in
        guard let kept, isPausing || kept.exact.isDue else { return }
        try session.flush()
        // Earlier states remain until those of both streams behind this layer are written.
        if let second { try kept.rounded.write(second, of: windows, by: pass, removesOthers: false) }
        let file = try sums?.write(behind: exact.layer, of: windows)
        try kept.exact.write(
          exact, of: windows, by: pass,
          keeping: Set([second.map { _ in kept.rounded.file(exact.layer) }, file].compactMap { $0 }))
        try session.release(before: exact.layer)
      }
    }
  }

  /// Whether every tensor of the layers before `layer` is written. If not, the text goes through those layers again.
  private func isWhole(before layer: Int, _ remaining: [String: Int]) -> Bool {
    layer <= remaining.keys.compactMap { TensorName($0).layer }.min() ?? .max
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
