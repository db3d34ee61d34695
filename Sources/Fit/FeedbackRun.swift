import Blocks
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

  /// Writes the file, or a part of it.
  ///
  /// - Parameter progress: receives every block of rows that was encoded; its steps are tensors. May pause after every
  ///   tensor and layer.
  /// - Throws: `Paused`, ``QuantizeError``, `ForwardError`, `PartsError`, and errors of reading and writing.
  public func write(
    to path: String, options: RewriteOptions, progress: any RunObserver = NoObserver()
  ) throws -> FeedbackReport {
    try FeedbackGroup([FeedbackGroup.Member(self, path: path, options: options)]).write(progress: progress)[0]
  }
}
