import Blocks
import Files
import GGUF
import Tensors

/// A rewriting in which the caller encodes some tensors by itself, in an order of its own, before ``Rewriter`` encodes the
/// others: a forward pass that feeds errors back meets the matrices of an expert one by one, and layers in its own order.
///
///     try rewriter.write(to: path, options: options, progress: progress) { session in
///       guard try !session.isWritten(index) else { return }
///       try session.write(bytes, tensor: index, row: 0)
///       try session.end(index)
///     }
public final class RewriteSession {
  public let plan: RewritePlan
  /// Names what is written; the caller may note snapshots of its own in it. nil where the run is not to be resumed.
  public let journal: RunJournal?
  private let output: RewriteOutput
  private let writer: GGUFWriter
  private let inherited: [String: String]
  private let progress: any RunObserver

  /// Tensors that are written as a whole.
  private(set) var written = Set<Int>()
  private(set) var resumed = 0
  private(set) var writtenBytes: Int
  private var samples: [Int: [Sample]] = [:]

  /// A row as it was given, which has to be what the file holds.
  private struct Sample: Sendable {
    let row: Int
    let bytes: [UInt8]
  }

  /// Rows of a tensor that are compared with the file, at most.
  private static let sampleCount = 3

  init(
    _ plan: RewritePlan, output: RewriteOutput, writer: GGUFWriter, journal: RunJournal?, inherited: [String: String],
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

  /// True where a tensor is whole: encoded here, or by an earlier run whose bytes are still what it noted.
  public func isWritten(_ index: Int) throws -> Bool {
    if written.contains(index) { return true }
    let tensor = plan.source.tensors[index]
    guard let sum = inherited[tensor.name], try writer.digest(tensor: index) == sum else { return false }
    try output.add(sum, for: tensor.name)
    resumed += 1
    finish(index)
    return true
  }

  /// Rows of a tensor in its type of the plan, from row `row` on, in any order.
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

  /// All rows of a tensor were given. May pause.
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

  /// Rows of a tensor that is written, decoded from what the file holds. Whatever was given before is waited for once, by
  /// ``flush()``.
  public func readRows(of index: Int, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let type = plan.types[index]
    guard let rowBytes = type.rowBytes(columns: plan.source.tensors[index].shape.columns) else { return }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try writer.read(into: &raw, tensor: index, row: rows.lowerBound)
    decodeRows(bytes.span.bytes, as: type, into: &output)
  }

  /// Waits until everything that was given is on the disk and in the journal.
  public func flush() throws { _ = try output.finish() }

  /// Tells the run's observer what is in work.
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
