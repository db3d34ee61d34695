import Blocks
import Files
import GGUF
import Synchronization
import Tensors

/// Mean squared activations by tensor name, [matrices, columns] row after row; nil where nothing is known.
public typealias Importance = @Sendable (TensorInfo) -> [Float]?

/// What the rewriting of a model into a GGUF is to make.
public struct RewritePlan: Sendable {
  public let source: any ModelSource
  /// The type of every tensor, in the source's order.
  public let types: [GGMLType]
  /// What one file would be.
  public let layout: GGUFLayout
  /// The files: one, unless ``split(by:)`` was called.
  public private(set) var shards: GGUFShards
  /// Bytes of decoded rows in work at once.
  public var blockBytes = 16 << 20
  private let metadata: Metadata

  /// - Parameter metadata: all keys of the file to write.
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

  /// Writes shards instead of one file, where the limit asks for more than one.
  ///
  /// - Throws: `FormatError` where the limit is impossible.
  public mutating func split(by limit: ShardLimit) throws {
    shards = try GGUFShards(metadata: metadata, tensors: layout.tensors, limit: limit)
  }

  /// All files, to the byte.
  public var totalBytes: Int { shards.totalBytes }
  /// Bytes in front of tensor data, over all files.
  public var headerBytes: Int { shards.layouts.reduce(0) { $0 + $1.header.count } }
}

/// What rewriting reports when it is done.
public struct RewriteReport: Sendable, Equatable {
  public var bytes = 0
  /// Tensors that an earlier run had written.
  public var resumedTensors = 0
  /// Tensors whose importance had entries that were zero or not finite, with their number; they counted as the mean.
  public var replacedImportance: [String: Int] = [:]
  /// Quantized tensors without any importance, where an importance matrix was given.
  public var withoutImportance: [String] = []

  /// A report of nothing.
  public init() {}
}

/// How a run treats what is there already.
public struct RewriteOptions: Sendable {
  /// Replace a file of the output's name.
  public var overwrite = false
  /// What the run is made of; nil to keep no journal, so that an interrupted run leaves nothing.
  public var identity: RunIdentity?
  /// Begin anew, whatever an earlier run has done.
  public var restart = false
  /// Write the tensors' SHA-256 beside the output.
  public var checksums = false

  public init(overwrite: Bool = false) { self.overwrite = overwrite }
}

/// Writes a model as a GGUF, tensor by tensor and block of rows by block of rows: rows are read, decoded and encoded on
/// all threads, and written at their final place while the next ones are. Rows that keep their type are copied.
///
/// With an identity, a journal beside the output says which tensors are done. A run that was killed, interrupted, or
/// that a full disk or a failing one stopped, leaves both; the next one verifies what is there and goes on.
public struct Rewriter: Sendable {
  private let plan: RewritePlan
  private let importance: Importance?

  public init(_ plan: RewritePlan, importance: Importance? = nil) {
    self.plan = plan
    self.importance = importance
  }

  /// - Parameters:
  ///   - progress: hears of every block that was given to the disk; its steps are tensors. May pause after every tensor,
  ///     when all before it is written.
  ///   - first: may encode tensors by itself; those that it leaves are encoded afterwards.
  /// - Throws: ``QuantizeError``, `FileError`, and what reading the source throws.
  public func write(
    to path: String, options: RewriteOptions, progress: any RunObserver = NoObserver(),
    first: (RewriteSession) throws -> Void = { _ in }
  ) throws -> RewriteReport {
    // Before the journal: a name that is taken leaves nothing.
    let journal = try options.identity.map {
      let paths = plan.shards.paths(path)
      for path in paths { try OutputFile.check(path, overwrite: options.overwrite) }
      // A journal whose data is gone (a crash between the last two steps of a run) speaks of nothing.
      return try RunJournal(
        output: path, identity: $0, restart: options.restart || !paths.allSatisfy(OutputFile.isBegun))
    }
    do {
      let writer = try GGUFWriter(
        path: path, shards: plan.shards, overwrite: options.overwrite, resuming: journal?.inherited.isEmpty == false)
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
    to writer: GGUFWriter, _ journal: RunJournal?, _ options: RewriteOptions, _ progress: any RunObserver,
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
      // What was encoded before the failure is worth keeping, unless that is where the disk failed.
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
    to output: RewriteOutput, resuming writer: GGUFWriter, _ journal: RunJournal?, beside session: RewriteSession,
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
      for rows in blocks(of: tensor) {
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

  /// Reads a sample of a tensor's rows back, and makes them once more: what stands in the file must be equal, and decode
  /// to numbers.
  private func check(
    _ tensor: TensorInfo, _ index: Int, as type: GGMLType, rowBytes: Int, _ weights: [Float]?, _ writer: GGUFWriter
  ) throws {
    guard rowBytes > 0, tensor.shape.rows > 0 else { return }
    var ignored = RewriteReport()
    for row in Set([0, tensor.shape.rows / 2, tensor.shape.rows - 1]).sorted() {
      var found = [UInt8](repeating: 0, count: rowBytes)
      var span = found.mutableSpan
      var raw = span.mutableBytes
      try writer.read(into: &raw, tensor: index, row: row)
      let expected =
        type == tensor.type
        ? try copy(row..<row + 1, of: tensor, rowBytes: rowBytes)
        : try encode(row..<row + 1, of: tensor, as: type, rowBytes: rowBytes, weights, &ignored)
      guard found == expected, !type.isQuantized || firstNonFiniteBlock(found.span.bytes, as: type) == nil else {
        throw QuantizeError.writtenWrong(path: writer.paths[0], tensor: tensor.name, row: row)
      }
    }
  }

  private func copy(_ rows: Range<Int>, of tensor: TensorInfo, rowBytes: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try plan.source.readBytes(of: tensor, rows: rows, into: &raw)
    // What is encoded is looked at on the way; one NaN that is copied unseen makes every token NaN.
    if !tensor.type.isQuantized, let index = firstNonFiniteBlock(bytes.span.bytes, as: tensor.type) {
      let columns = tensor.shape.columns
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: rows.lowerBound + index / columns, column: index % columns,
        path: plan.source.path(of: tensor))
    }
    return bytes
  }

  /// Ranges of rows that fit a block and never cross from one matrix of a stack to the next: importance differs there.
  private func blocks(of tensor: TensorInfo) -> [Range<Int>] {
    let perMatrix = tensor.shape.rowsPerMatrix
    let most = max(1, plan.blockBytes / max(1, tensor.shape.columns * 4))
    return (0..<tensor.shape.matrices).flatMap { matrix in
      stride(from: 0, to: perMatrix, by: most).map { row in
        matrix * perMatrix + row..<matrix * perMatrix + min(perMatrix, row + most)
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
    let own = weights.map { Array($0[matrix * columns..<(matrix + 1) * columns]) }
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    do {
      let replaced = Atomic<Int>(0)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      // Few enough that they stay in a core's cache from reading to encoding.
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
            floats.span, columns: columns, importance: own?.span, as: type, into: &slice)
          if range.lowerBound == 0 { replaced.store(count, ordering: .relaxed) }
        } catch EncodeError.nonFiniteWeight(let row, let column) {
          throw EncodeError.nonFiniteWeight(row: range.lowerBound + row, column: column)
        }
      }
      // Counted once for each matrix: all its blocks share the weights.
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

/// The first finite number that half precision would make infinite. Nearly always there is none, so that all are looked
/// at first, as integers: magnitudes of floats are in the order of their bits.
private func firstBeyondHalf(_ floats: [Float]) -> Int? {
  var largest: UInt32 = 0
  for value in floats { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
  // Halfway from the largest half, 65504, to what would follow it.
  let limit = Float(65520)
  return largest < limit.bitPattern ? nil : floats.firstIndex { abs($0) >= limit && $0.isFinite }
}

extension ModelSource {
  /// Rows of a tensor as floats, decoded on all threads.
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

/// Encodes rows on all threads; `weights` are one matrix's.
package func encodeInParallel(
  _ floats: [Float], columns: Int, _ weights: ArraySlice<Float>?, as type: GGMLType, into bytes: inout [UInt8]
) throws -> Int {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let weights {
    let own = Array(weights)
    return try encodeRowsInParallel(floats.span, columns: columns, importance: own.span, as: type, into: &raw)
  }
  return try encodeRowsInParallel(floats.span, columns: columns, importance: nil, as: type, into: &raw)
}

extension TensorChecksums {
  /// In the order of a model, whatever the order in which its tensors were written.
  fileprivate func ordered(like tensors: [TensorInfo]) -> TensorChecksums {
    var result = TensorChecksums()
    for tensor in tensors { if let sum = self[tensor.name] { result.add(sum, for: tensor.name) } }
    return result
  }
}
