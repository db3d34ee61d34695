import Blocks
import Files
import GGUF
import Synchronization
import Tensors

/// Returns a tensor's mean squared activations, [matrices, columns] row by row; nil if there are none.
public typealias Importance = @Sendable (TensorInfo) -> [Float]?

/// The source, types and files of the rewriting of a model.
public struct RewritePlan: Sendable {
  /// The model to rewrite.
  public let source: any ModelSource
  /// The type of every tensor, in the source's order.
  public let types: [GGMLType]
  /// The layout of the output as a single file.
  public let layout: GGUFLayout
  /// The files: one, unless ``split(by:)`` was called.
  public private(set) var shards: GGUFShards
  /// The files, where they are no GGUF.
  public var container: (any OutputContainer)?
  /// The bytes of decoded rows that are encoded at once.
  public let chunkBytes = 16 << 20
  private let metadata: Metadata

  /// - Parameters:
  ///   - types: the type of every tensor, in the source's order.
  ///   - metadata: all keys of the file.
  public init(source: any ModelSource, types: [GGMLType], metadata: Metadata) {
    precondition(types.count == source.tensors.count, "\(types.count) types for \(source.tensors.count) tensors")
    self.source = source
    self.types = types
    self.metadata = metadata
    layout = GGUFLayout(
      metadata: metadata,
      tensors: zip(source.tensors, types).map { TensorInfo(name: $0.name, shape: $0.shape, type: $1) })
    shards = GGUFShards(layout)
  }

  /// Divides the output into shards, if the limit requires more than one.
  ///
  /// - Throws: `FormatError` if the limit can't be satisfied.
  public mutating func split(by limit: ShardLimit) throws {
    shards = try GGUFShards(metadata: metadata, tensors: layout.tensors, limit: limit)
  }

  /// The exact bytes of all files.
  public var totalBytes: Int { container?.totalBytes ?? shards.totalBytes }
  /// The bytes before the tensor data, in all files.
  public var headerBytes: Int { container?.headerBytes ?? shards.layouts.reduce(0) { $0 + $1.header.count } }
  /// SHA-256 of everything but the tensors' data, in hexadecimal.
  public var digest: String { container?.digest ?? shards.digest }

  fileprivate func check(_ path: String, overwrite: Bool) throws {
    if let container { return try container.check(path, overwrite: overwrite) }
    for path in shards.paths(path) { try OutputFile.check(path, overwrite: overwrite) }
  }

  fileprivate func isBegun(_ path: String) -> Bool {
    container?.isBegun(path) ?? shards.paths(path).allSatisfy(OutputFile.isBegun)
  }

  fileprivate func writer(_ path: String, overwrite: Bool, resuming: Bool) throws -> any TensorWriter {
    try container?.writer(path: path, overwrite: overwrite, resuming: resuming)
      ?? GGUFWriter(path: path, shards: shards, overwrite: overwrite, resuming: resuming)
  }
}

/// The results of a rewriting.
public struct RewriteReport: Sendable, Equatable {
  /// The bytes of all files.
  public var bytes = 0
  /// The number of tensors that an earlier run had written.
  public var resumedTensors = 0
  /// The number of importance values that were zero or not finite, by tensor. They were replaced by the mean.
  public var replacedImportance: [String: Int] = [:]
  /// Quantized tensors that the given importance matrix lacks.
  public var withoutImportance: [String] = []

  /// A report of nothing.
  public init() {}
}

/// The treatment of existing files, and of interruptions.
public struct RewriteOptions: Sendable {
  /// Whether to replace an existing output.
  var overwrite = false
  /// The inputs of the run, by which a later run can resume it; nil for no journal, so that an interrupted run leaves
  /// no files.
  public var identity: RunIdentity?
  /// Whether to start from the beginning, even if an earlier run can be resumed.
  public var restart = false
  /// Whether to write the tensors' SHA-256 to a file beside the output.
  public var checksums = false

  /// Options without journal and checksums.
  public init(overwrite: Bool = false) { self.overwrite = overwrite }
}

/// Writes a model as a GGUF, in chunks of rows of one tensor after the other. A chunk is read, decoded and encoded on
/// all threads, and written at its final offset while the next chunk is processed. Rows that keep their type are
/// copied.
///
/// With an identity, a journal beside the output records the finished tensors. If a run is killed, interrupted or
/// stopped by a disk error, both files remain. The next run verifies the recorded tensors and continues.
public struct Rewriter: Sendable {
  private let plan: RewritePlan
  private let importance: Importance?

  /// - Parameter importance: nil to quantize without importance.
  public init(_ plan: RewritePlan, importance: Importance? = nil) {
    self.plan = plan
    self.importance = importance
  }

  /// Writes all files. They appear under their names when they are complete.
  ///
  /// - Parameters:
  ///   - path: the output; names of shards are derived from it.
  ///   - progress: is told of every chunk; its steps are tensors. A pause is possible after every tensor.
  ///   - first: encodes any tensors by other means; the remaining ones are encoded afterwards.
  /// - Throws: ``QuantizeError``, `FileError`, and what reading the source throws.
  public func write(
    to path: String, options: RewriteOptions, progress: any RunObserver = NoObserver(),
    first: (RewriteSession) throws -> Void = { _ in }
  ) throws -> RewriteReport {
    // Checked first, so that an existing output does not leave a journal.
    let journal = try options.identity.map {
      try plan.check(path, overwrite: options.overwrite)
      // A journal without data (after a crash between the last two steps of a run) is ignored.
      return try RunJournal(
        output: path, identity: $0, restart: options.restart || !plan.isBegun(path))
    }
    do {
      let writer = try plan.writer(
        path, overwrite: options.overwrite, resuming: journal?.inherited.isEmpty == false)
      do {
        let report = try write(to: writer, journal, options, progress, first)
        journal?.remove()
        return report
      } catch {
        if journal != nil, RunJournal.isWorthKeeping(after: error) {
          writer.keepTemporary()
        } else {
          writer.discardTemporary()
        }
        throw error
      }
    } catch {
      let lacksRoom = (error as? FileError)?.operation == .reserve
      if !RunJournal.isWorthKeeping(after: error) || lacksRoom && journal?.entries.isEmpty == true { journal?.remove() }
      throw error
    }
  }

  private func write(
    to writer: any TensorWriter, _ journal: RunJournal?, _ options: RewriteOptions, _ progress: any RunObserver,
    _ first: (RewriteSession) throws -> Void
  ) throws -> RewriteReport {
    let output = RewriteOutput(writer, journal, keepsSums: options.checksums)
    var report = RewriteReport()
    do {
      let session = RewriteSession(
        plan, output: output, writer: writer, journal: journal,
        inherited: writer.isResumed ? journal?.inherited ?? [:] : [:], progress: progress)
      try first(session)
      report.resumedTensors = session.resumed
      try encodeAll(to: output, resuming: writer, journal, beside: session, &report, progress)
    } catch {
      // Write the rows that were encoded before the failure, unless the disk failed.
      _ = try output.finish()
      throw error
    }
    let sums = try output.finish().ordered(like: plan.source.tensors)
    try writer.commit()
    if options.checksums { try sums.write(to: writer.paths[0] + TensorChecksums.suffix, overwrite: options.overwrite) }
    report.bytes = plan.totalBytes
    return report
  }

  private func encodeAll(
    to output: RewriteOutput, resuming writer: any TensorWriter, _ journal: RunJournal?, beside session: RewriteSession,
    _ report: inout RewriteReport, _ progress: any RunObserver
  ) throws {
    let inherited = writer.isResumed ? journal?.inherited ?? [:] : [:]
    var written = session.writtenBytes
    func advance(_ index: Int, _ tensor: TensorInfo) throws {
      try progress.advance(
        RunProgress(
          fraction: Double(written) / Double(max(1, plan.totalBytes)), step: index,
          stepCount: plan.source.tensors.count, detail: tensor.name))
    }
    for (index, tensor) in plan.source.tensors.enumerated() where !session.written.contains(index) {
      let type = plan.types[index]
      guard let rowBytes = type.rowBytes(columns: tensor.shape.columns) else {
        throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
      }
      let weights = type.isQuantized && type != tensor.type ? try self.weights(of: tensor, &report) : nil
      if let sum = inherited[tensor.name], try writer.digest(tensor: index) == sum {
        report.resumedTensors += 1
        try output.add(sum, for: tensor.name)
        written += tensor.shape.rows * rowBytes
        try advance(index, tensor)
        continue
      }
      for rows in chunks(of: tensor) {
        let bytes =
          type == tensor.type
          ? try copy(rows, of: tensor, rowBytes: rowBytes)
          : try encode(rows, of: tensor, as: type, rowBytes: rowBytes, weights, &report)
        try output.write(bytes, tensor: index, row: rows.lowerBound)
        written += rows.count * rowBytes
        try advance(index, tensor)
      }
      try output.end(tensor.name) { try check(tensor, index, as: type, rowBytes: rowBytes, weights, $0) }
      do { try progress.pause() } catch { throw Paused(reason: error) }
    }
  }

  /// Reads some of a tensor's rows back, and encodes them again: the bytes must be equal, and decode to finite numbers.
  private func check(
    _ tensor: TensorInfo, _ index: Int, as type: GGMLType, rowBytes: Int, _ weights: [Float]?,
    _ writer: any TensorWriter
  ) throws {
    guard rowBytes > 0, tensor.shape.rows > 0 else { return }
    var ignored = RewriteReport()
    for row in Set([0, tensor.shape.rows / 2, tensor.shape.rows - 1]).sorted() {
      var written = [UInt8](repeating: 0, count: rowBytes)
      var span = written.mutableSpan
      var raw = span.mutableBytes
      try writer.read(into: &raw, tensor: index, row: row)
      let expected =
        type == tensor.type
        ? try copy(row..<row + 1, of: tensor, rowBytes: rowBytes)
        : try encode(row..<row + 1, of: tensor, as: type, rowBytes: rowBytes, weights, &ignored)
      guard written == expected, !type.isQuantized || firstNonFiniteBlock(written.span.bytes, as: type) == nil else {
        throw QuantizeError.writtenWrong(path: writer.paths[0], tensor: tensor.name, row: row)
      }
    }
  }

  private func copy(_ rows: Range<Int>, of tensor: TensorInfo, rowBytes: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try plan.source.readBytes(of: tensor, rows: rows, into: &raw)
    // Encoding checks for NaN, copying does not; a single NaN makes every token NaN.
    if !tensor.type.isQuantized, let index = firstNonFiniteBlock(bytes.span.bytes, as: tensor.type) {
      let columns = tensor.shape.columns
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: rows.lowerBound + index / columns, column: index % columns,
        path: plan.source.path(of: tensor))
    }
    return bytes
  }

  /// Ranges of rows of one chunk. They do not cross matrices of a stack, which have different importance.
  private func chunks(of tensor: TensorInfo) -> [Range<Int>] {
    let perMatrix = tensor.shape.rowsPerMatrix
    let maximum = max(1, plan.chunkBytes / max(1, tensor.shape.columns * 4))
    return (0..<tensor.shape.matrices).flatMap { matrix in
      stride(from: 0, to: perMatrix, by: maximum).map { row in
        matrix * perMatrix + row..<matrix * perMatrix + min(perMatrix, row + maximum)
      }
    }
  }

  private func weights(of tensor: TensorInfo, _ report: inout RewriteReport) throws -> [Float]? {
    guard let importance else { return nil }
    guard let weights = importance(tensor) else {
      report.withoutImportance.append(tensor.name)
      return nil
    }
    let expected = tensor.shape.columns * tensor.shape.matrices
    guard weights.count == expected else {
      throw QuantizeError.importanceOfOtherSize(tensor: tensor.name, count: weights.count, expected: expected)
    }
    return weights
  }

  private func encode(
    _ rows: Range<Int>, of tensor: TensorInfo, as type: GGMLType, rowBytes: Int, _ weights: [Float]?,
    _ report: inout RewriteReport
  ) throws -> [UInt8] {
    let columns = tensor.shape.columns
    let matrix = rows.lowerBound / tensor.shape.rowsPerMatrix
    let matrixWeights = weights.map { Array($0[matrix * columns..<(matrix + 1) * columns]) }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    do {
      let replaced = Atomic<Int>(0)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      // Small enough that rows stay in a core's cache between reading and encoding.
      try parallelRows(of: &raw, rowBytes: rowBytes, grain: max(1, (1 << 16) / columns)) { range, slice in
        let first = rows.lowerBound + range.lowerBound
        var floats = [Float](repeating: 0, count: range.count * columns)
        var all = floats.mutableSpan
        try plan.source.readRows(of: tensor, rows: first..<first + range.count, into: &all)
        if type == .f16, let index = firstBeyondHalf(floats) {
          throw QuantizeError.beyondHalf(
            tensor: tensor.name, row: first + index / columns, column: index % columns,
            path: plan.source.path(of: tensor))
        }
        do {
          let count = try encodeRows(
            floats.span, columns: columns, importance: matrixWeights?.span, as: type, into: &slice)
          if range.lowerBound == 0 { replaced.store(count, ordering: .relaxed) }
        } catch EncodeError.nonFiniteWeight(let row, let column) {
          throw EncodeError.nonFiniteWeight(row: range.lowerBound + row, column: column)
        }
      }
      // Counted once per matrix: all its chunks have the same weights.
      let count = replaced.load(ordering: .relaxed)
      if count > 0, rows.lowerBound % tensor.shape.rowsPerMatrix == 0 {
        report.replacedImportance[tensor.name, default: 0] += count
      }
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: rows.lowerBound + row, column: column, path: plan.source.path(of: tensor))
    } catch EncodeError.needsImportance {
      throw QuantizeError.needsImportance(tensor: tensor.name, type: type)
    } catch is EncodeError {
      throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
    }
    return bytes
  }
}

/// The index of the first finite number that is infinite in half precision. Usually there is none, so the largest
/// magnitude is checked first, as an integer: magnitudes of floats have the order of their bits.
private func firstBeyondHalf(_ floats: [Float]) -> Int? {
  var largest: UInt32 = 0
  for value in floats { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
  // Halfway from the largest half, 65504, to the next value.
  let limit = Float(65520)
  return largest < limit.bitPattern ? nil : floats.firstIndex { abs($0) >= limit && $0.isFinite }
}

extension ModelSource {
  /// Reads rows of a tensor as floats, decoded on all threads.
  package func rows(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [Float] {
    let columns = tensor.shape.columns
    var floats = [Float](repeating: 0, count: rows.count * columns)
    var span = floats.mutableSpan
    try parallelRows(of: &span, rowLength: columns, grain: max(1, (1 << 20) / columns)) { range, slice in
      try readRows(
        of: tensor, rows: rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound, into: &slice)
    }
    return floats
  }
}

/// Encodes rows of one matrix on all threads, with its columns' `weights`.
package func encodeInParallel(
  _ floats: [Float], columns: Int, _ weights: ArraySlice<Float>?, as type: GGMLType, into bytes: inout [UInt8]
) throws -> Int {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let weights {
    let importance = Array(weights)
    return try encodeRowsInParallel(floats.span, columns: columns, importance: importance.span, as: type, into: &raw)
  }
  return try encodeRowsInParallel(floats.span, columns: columns, importance: nil, as: type, into: &raw)
}

extension TensorChecksums {
  /// In the order of the model's tensors, regardless of the order of writing.
  fileprivate func ordered(like tensors: [TensorInfo]) -> TensorChecksums {
    var result = TensorChecksums()
    for tensor in tensors { if let sum = self[tensor.name] { result.add(sum, for: tensor.name) } }
    return result
  }
}
