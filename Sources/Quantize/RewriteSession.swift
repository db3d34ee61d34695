import Blocks
import Files
import GGUF
import Tensors

/// The first part of a rewriting, in which the caller encodes some tensors in any order. ``Rewriter`` encodes the
/// others afterwards. A forward pass with error feedback needs this, because it encodes the matrices of experts one by
/// one, and layers in its order.
///
///     try rewriter.write(to: path, options: options, progress: progress) { session in
///       guard try !session.isWritten(index) else { return }
///       try session.write(bytes, tensor: index, row: 0)
///       try session.end(index)
///     }
public final class RewriteSession {
  public let plan: RewritePlan
  /// The journal of finished tensors, in which the caller may record snapshots too. Nil if the run can't be resumed.
  public let journal: RunJournal?
  private let output: RewriteOutput
  private let writer: any TensorWriter
  private let inherited: [String: String]
  private let progress: any RunObserver

  /// Indices of tensors that are completely written.
  private(set) var written = Set<Int>()
  private(set) var resumed = 0
  private(set) var writtenBytes: Int
  private var samples: [Int: [Sample]] = [:]

  /// The bytes of a row, to compare with the file.
  private struct Sample: Sendable {
    let row: Int
    let bytes: [UInt8]
  }

  /// The maximum number of rows of a tensor that are compared with the file.
  private static let sampleCount = 3

  init(
    _ plan: RewritePlan, output: RewriteOutput, writer: any TensorWriter, journal: RunJournal?,
    inherited: [String: String],
    progress: any RunObserver
  ) {
    self.plan = plan
    self.output = output
    self.writer = writer
    self.journal = journal
    self.inherited = inherited
    self.progress = progress
    writtenBytes = plan.headerBytes
  }

  /// Whether a tensor is complete: encoded in this session, or by an earlier run whose bytes match the journal.
  public func isWritten(_ index: Int) throws -> Bool {
    if written.contains(index) { return true }
    let tensor = plan.source.tensors[index]
    guard let sum = inherited[tensor.name], try writer.digest(tensor: index) == sum else { return false }
    try output.add(sum, for: tensor.name)
    resumed += 1
    finish(index)
    return true
  }

  /// Writes rows of a tensor in the plan's type, from row `row` on. Ranges may be in any order.
  public func write(_ bytes: [UInt8], tensor index: Int, row: Int) throws {
    let tensor = plan.source.tensors[index]
    guard let rowBytes = plan.types[index].rowBytes(columns: tensor.shape.columns), rowBytes > 0, !bytes.isEmpty else {
      return
    }
    guard firstNonFiniteBlock(bytes.span.bytes, as: plan.types[index]) == nil else {
      throw QuantizeError.writtenWrong(path: writer.paths[0], tensor: tensor.name, row: row)
    }
    if samples[index, default: []].count < Self.sampleCount {
      samples[index, default: []].append(Sample(row: row, bytes: Array(bytes.prefix(rowBytes))))
    }
    writtenBytes += bytes.count
    try output.place(bytes, tensor: index, row: row)
    try advance(tensor.name)
  }

  /// Ends a tensor after all its rows. May pause the run.
  public func end(_ index: Int) throws {
    let (name, rows) = (plan.source.tensors[index].name, samples.removeValue(forKey: index) ?? [])
    try output.end(name, placed: index) { writer in
      for sample in rows {
        var found = [UInt8](repeating: 0, count: sample.bytes.count)
        var span = found.mutableSpan
        var raw = span.mutableBytes
        try writer.read(into: &raw, tensor: index, row: sample.row)
        guard found == sample.bytes else {
          throw QuantizeError.writtenWrong(path: writer.paths[0], tensor: name, row: sample.row)
        }
      }
    }
    written.insert(index)
  }

  /// Decodes rows of a written tensor from the file. ``flush()`` must have waited for the earlier writes.
  public func readRows(of index: Int, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let type = plan.types[index]
    guard let rowBytes = type.rowBytes(columns: plan.source.tensors[index].shape.columns) else { return }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try writer.read(into: &raw, tensor: index, row: rows.lowerBound)
    decodeRows(bytes.span.bytes, as: type, into: &output)
  }

  /// Encodes the given tensors that the caller has not, and lets files of the source be removed; nil where all stay.
  var release: ((Set<Int>) throws -> Void)?

  /// Whether files of the source are removed when they are no longer needed.
  public var removesSource: Bool { release != nil }

  /// Completes all tensors of the layers before one, of which the caller has encoded its own. Files of the source that only
  /// these layers need are removed: the caller must not read them again, even after an interruption.
  public func release(before layer: Int) throws {
    try release?(Set(plan.source.tensors.indices.filter { (plan.source.tensors[$0].layer ?? .max) < layer }))
  }

  /// Notes that a tensor was written by other means.
  func note(written index: Int) { if !written.contains(index) { finish(index) } }

  /// Waits until all writes are on the disk and in the journal.
  public func flush() throws { _ = try output.finish() }

  /// Reports the current work to the run's observer.
  public func advance(_ detail: String) throws {
    try progress.advance(
      RunProgress(
        fraction: Double(writtenBytes) / Double(max(1, plan.totalBytes)), step: written.count,
        stepCount: plan.source.tensors.count, detail: detail))
  }

  private func finish(_ index: Int) {
    written.insert(index)
    writtenBytes += plan.source.tensors[index].shape.bytes(as: plan.types[index]) ?? 0
  }
}
