import Blocks
import Files
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// Encodes the matrices of a rewriting while a forward pass delivers the Gram matrices of their inputs.
final class FeedbackEncoder {
  private let session: RewriteSession
  private let effort: FeedbackEffort
  /// Importance from an importance matrix; nil to use the mean squares of the inputs.
  private let importance: Importance?
  /// Bytes of rows in work at once.
  private let rowBytes: Int
  private let progress: FeedbackProgress
  /// The index of the first tensor in the work of a group of files.
  private let firstTensor: Int
  private var shrinkage = FeedbackShrinkage()
  private var stacks: [Int: Stack] = [:]
  /// The Gram matrix of the input of the current layer's experts.
  private var layer: GramMatrix?
  private(set) var report = FeedbackReport()

  /// A tensor whose matrices arrive one by one.
  private struct Stack {
    var done: Set<Int> = []
    /// Sums of squares and tokens over the matrices in `done`.
    var sums: [Double]
    var tokens = 0
  }

  init(
    _ session: RewriteSession, effort: FeedbackEffort, importance: Importance?, rowBytes: Int,
    progress: FeedbackProgress, firstTensor: Int = 0
  ) {
    self.session = session
    self.effort = effort
    self.importance = importance
    self.rowBytes = rowBytes
    self.progress = progress
    self.firstTensor = firstTensor
  }

  private var plan: RewritePlan { session.plan }

  /// The report with the importance that the same pass has measured.
  func report(_ importance: ImportanceMatrix?) -> FeedbackReport {
    var report = report
    report.importance = importance
    return report
  }

  // MARK: inputs

  /// Encodes the matrices that are multiplied by an input.
  ///
  /// - Parameters:
  ///   - wanted: the tensors of this input that are to be written.
  ///   - planned: `wanted`, and those that an earlier run has written. The first of them judges the shrinkage, so that a
  ///     resumed run judges by the same tensor.
  func receive(_ input: GramInput, wanted: [Int], planned: [Int]) throws {
    guard !wanted.isEmpty else { return }
    if let gram = input.layer { layer = gram }
    let (index, columns) = (Self.index(input.matrix), input.gram.columns)
    let judge = planned.first { plan.types[$0].takesFeedback }
    let metric = try judge.flatMap { try self.metric(of: input, judgedBy: $0, matrix: index) }
    noteShortText(input)
    for tensor in wanted {
      let info = plan.source.tensors[tensor]
      let means = input.meanSquares
      try encode(
        tensor, matrix: index, metric: plan.types[tensor].takesFeedback ? metric : nil,
        importance: columnWeights(of: info, matrix: index, orMeans: means))
      guard info.shape.matrices > 1 else {
        try end(tensor)
        continue
      }
      var stack = stacks[tensor] ?? Stack(sums: [Double](repeating: 0, count: columns))
      stack.done.insert(index)
      stack.tokens += input.tokens
      for column in 0..<columns { stack.sums[column] += Double(means[column]) * Double(input.tokens) }
      stacks[tensor] = stack
      if stack.done.count == info.shape.matrices {
        stacks[tensor] = nil
        try end(tensor)
      }
    }
  }

  /// Encodes the matrices that are multiplied by an input of two streams, corrected for the losses of earlier layers.
  func receive(_ input: PairedInput, wanted: [Int], into rounded: RoundedModel) throws {
    guard !wanted.isEmpty else { return }
    let columns = input.gram.columns
    let isShort = FeedbackShrinkage.isShort(input.gram)
    if isShort {
      report.short.append(
        FeedbackReport.Short(tensor: input.tensors[0], tokens: input.gram.tokens, columns: columns))
    }
    let means = input.gram.diagonal.map { $0 / Float(max(1, input.gram.tokens)) }
    let takers = wanted.filter { plan.types[$0].takesFeedback }
    let metric = takers.isEmpty ? nil : try factored(FeedbackShrinkage.shrunk(input.gram))
    // A short text does not determine a correction.
    let drift = isShort ? nil : input.drift
    let correction = try drift.flatMap {
      try FeedbackCorrection(gram: input.gram, drift: $0, residual: input.residual)
    }
    for tensor in wanted {
      let info = plan.source.tensors[tensor]
      // A tied head is also the embedding, whose rows must not be corrected for inputs of the head.
      try encode(
        tensor, matrix: 0, metric: plan.types[tensor].takesFeedback ? metric : nil,
        importance: columnWeights(of: info, matrix: 0, orMeans: means),
        correction: info.role == .tokenEmbedding ? nil : correction)
      try end(tensor)
    }
    try session.flush()
    for tensor in wanted { rounded.add(plan.source.tensors[tensor].name) }
  }

  /// Encodes a tensor without a metric, as ``Rewriter`` does.
  func encodePlainly(_ tensor: Int) throws {
    let info = plan.source.tensors[tensor]
    for matrix in 0..<info.shape.matrices {
      try encode(tensor, matrix: matrix, metric: nil, importance: given(info, matrix))
    }
    try end(tensor)
    try session.flush()
  }

  /// Encodes the experts that received no token, and ends the layer.
  func endLayer() throws {
    for (tensor, stack) in stacks.sorted(by: { $0.key < $1.key }) {
      let info = plan.source.tensors[tensor]
      // The down matrices have another input, which may have the same width.
      let usesLayer = layer?.columns == info.shape.columns && !info.name.contains("ffn_down")
      let metric =
        try usesLayer && plan.types[tensor].takesFeedback ? layer.flatMap { try factored($0) } : nil
      let means = stack.sums.map { Float($0 / Double(max(1, stack.tokens))) }
      for index in 0..<info.shape.matrices where !stack.done.contains(index) {
        try encode(
          tensor, matrix: index, metric: metric, importance: columnWeights(of: info, matrix: index, orMeans: means))
        report.unseenExperts += 1
      }
      try end(tensor)
    }
    stacks = [:]
    layer = nil
    shrinkage.endLayer()
  }

  private func end(_ tensor: Int) throws {
    try session.end(tensor)
    report.tensors += 1
    do { try progress.pause() } catch { throw Paused(reason: error) }
  }

  private func noteShortText(_ input: GramInput) {
    let columns = input.gram.columns
    guard FeedbackShrinkage.isShort(tokens: input.tokens, columns: columns) else { return }
    switch input.matrix {
    case .expert: report.shortExperts += 1
    default: report.short.append(FeedbackReport.Short(tensor: input.tensors[0], tokens: input.tokens, columns: columns))
    }
  }

  /// The importance of a matrix's columns: given, or else their mean squares, unless these are zero throughout.
  private func columnWeights(of tensor: TensorInfo, matrix: Int, orMeans means: [Float]) -> [Float]? {
    given(tensor, matrix) ?? (means.contains { $0 > 0 } ? means : nil)
  }

  private func given(_ tensor: TensorInfo, _ matrix: Int) -> [Float]? {
    guard let all = importance?(tensor), all.count == tensor.shape.columns * tensor.shape.matrices else { return nil }
    return Array(all[matrix * tensor.shape.columns..<(matrix + 1) * tensor.shape.columns])
  }

  private static func index(_ matrix: ObservedMatrix) -> Int {
    switch matrix {
    case .whole: 0
    case .expert(let index, of: _), .head(let index, of: _): index
    }
  }

  // MARK: metrics

  /// The metric of an input; nil where it is zero throughout.
  private func metric(of input: GramInput, judgedBy tensor: Int, matrix: Int) throws -> FeedbackMetric? {
    let info = plan.source.tensors[tensor]
    let gram = try shrinkage.gram(of: input) { gram in
      let sample = try sample(info, matrix)
      guard let metric = try factored(gram) else { return sample }
      return try errors(of: sample, info, as: plan.types[tensor], metric)
    }
    return try factored(gram)
  }

  private func factored(_ gram: GramMatrix) throws -> FeedbackMetric? {
    do {
      return try FeedbackMetric(
        diagonalBlocks: gram.values.span, columns: gram.columns, blockColumns: gram.blockColumns,
        groupColumns: plan.types.map(\.feedbackGroupColumns).max() ?? 32)
    } catch FeedbackMetricError.empty { return nil }
  }

  /// Rows that judge a share of shrinkage: each is encoded once for every share.
  private static let sampleRows = 16

  private func sample(_ tensor: TensorInfo, _ matrix: Int) throws -> [Float] {
    let rows = tensor.shape.rowsPerMatrix
    let count = min(rows, Self.sampleRows)
    return try (0..<count).flatMap { number in
      let row = matrix * rows + number * rows / count
      return try plan.source.rows(row..<row + 1, of: tensor)
    }
  }

  private func errors(
    of rows: [Float], _ tensor: TensorInfo, as type: GGMLType, _ metric: FeedbackMetric
  ) throws -> [Float] {
    let bytes = try encoded(rows, tensor, firstRow: 0, metric: metric, importance: nil, as: type, effort: .feedback)
    var decoded = [Float](repeating: 0, count: rows.count)
    var span = decoded.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &span)
    return zip(rows, decoded).map { $0 - $1 }
  }

  // MARK: rows

  private func encode(
    _ index: Int, matrix: Int, metric: FeedbackMetric?, importance: [Float]?,
    correction: FeedbackCorrection? = nil
  ) throws {
    let tensor = plan.source.tensors[index]
    let rows = tensor.shape.rowsPerMatrix
    let step = max(1, rowBytes / max(1, 4 * tensor.shape.columns))
    let first = matrix * rows
    for start in stride(from: first, to: first + rows, by: step) {
      let range = start..<min(first + rows, start + step)
      var floats = try plan.source.rows(range, of: tensor)
      if let correction {
        // Its product would name another place.
        if let bad = floats.firstIndex(where: { !$0.isFinite }) {
          throw QuantizeError.nonFiniteWeight(
            tensor: tensor.name, row: start + bad / tensor.shape.columns, column: bad % tensor.shape.columns,
            path: plan.source.path(of: tensor))
        }
        try correction.apply(to: &floats, first: start)
      }
      let bytes = try encoded(
        floats, tensor, firstRow: start, metric: metric, importance: importance, as: plan.types[index], effort: effort)
      progress.encoded(range.count, of: firstTensor + index)
      try session.write(bytes, tensor: index, row: start)
    }
  }

  private func encoded(
    _ rows: [Float], _ tensor: TensorInfo, firstRow: Int, metric: FeedbackMetric?, importance: [Float]?,
    as type: GGMLType, effort: FeedbackEffort
  ) throws -> [UInt8] {
    let columns = tensor.shape.columns
    var bytes = [UInt8](repeating: 0, count: rows.count / columns * (type.rowBytes(columns: columns) ?? 0))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    do {
      // Equal weights where nothing is known: types that need importance are not encoded without any.
      let weights = importance ?? [Float](repeating: 1, count: columns)
      if let metric {
        try encodeRowsInParallel(
          rows.span, columns: columns, metric: metric, importance: weights.span, as: type, effort: effort, into: &raw)
      } else {
        _ = try encodeRowsInParallel(rows.span, columns: columns, importance: weights.span, as: type, into: &raw)
      }
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: firstRow + row, column: column, path: plan.source.path(of: tensor))
    } catch is EncodeError {
      throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
    }
    return bytes
  }
}

extension GramInput {
  /// Mean square of every column over all tokens, held-out ones included.
  var meanSquares: [Float] {
    let held = heldOut?.diagonal
    return gram.diagonal.enumerated().map { column, sum in
      Float((Double(sum) + Double(held?[column] ?? 0)) / Double(max(1, tokens)))
    }
  }
}
