import Files
import Tensors

/// The file that llama-perplexity's `--kl-divergence-base` writes: 16 bits for every token at every position.
///
/// Layout (little-endian): `_logits_`, i32 context, i32 vocabulary, i32 windows, i32 tokens [windows, context]; then
/// for each scored position f32 scale, f32 lowest log-probability and u16 [vocabulary], padded to an even count:
/// ln p = scale * stored + lowest. The writer clamps values to 16 below the maximum.
public final class LogitsFile: LogitSource, Sendable {
  /// The file's path.
  public let path: String
  /// The text that was scored.
  public let windows: ScoringWindows
  /// The number of tokens of the vocabulary.
  public let vocabularyCount: Int
  private let file: PositionedFile
  private let dataOffset: Int

  /// The number of scored positions.
  public var rowCount: Int { windows.rowCount }
  /// The file's size in bytes.
  public var byteCount: Int { file.size }

  static let magic = Array("_logits_".utf8)
  static let headerBytes = 20
  static func rowBytes(vocabulary: Int) -> Int { 8 + (vocabulary + 1) / 2 * 4 }

  /// Log-probabilities at or below this are left out of divergences.
  static let floor: Float = -16
  /// The value that replaces them: e^leftOut is 0, and 0 times it is 0.
  private static let leftOut: Float = -1e30

  /// - Parameter bos: the token with which the compared models begin every window; nil for none.
  /// - Throws: ``ReferenceError/malformed(path:offset:reason:)``, `FileError`.
  public init(path: String, bos: Int32?) throws {
    let file = try PositionedFile(path: path)
    func failure(_ offset: Int, _ reason: String) -> ReferenceError {
      .malformed(path: path, offset: offset, reason: reason)
    }
    let start = try file.bytes(in: 0..<min(file.size, Self.headerBytes))
    guard start.count == Self.headerBytes, start.prefix(8).elementsEqual(Self.magic) else {
      throw failure(0, "is not a file of logits: it does not begin with _logits_")
    }
    let (context, vocabulary, count) = (
      Int(Int32(littleEndian: start[8..<12])), Int(Int32(littleEndian: start[12..<16])),
      Int(Int32(littleEndian: start[16..<20]))
    )
    // Each is below 2^31, so the products below stay under 2^63.
    guard context >= 4, vocabulary >= 1, count >= 1, context <= 1 << 24 else {
      throw failure(8, "context \(context), vocabulary \(vocabulary), windows \(count)")
    }
    let scored = context / 2..<context - 1
    let tokenBytes = context * count * 4
    guard tokenBytes <= file.size - Self.headerBytes else {
      throw failure(Self.headerBytes, "\(count) windows of \(context) tokens do not fit into the file")
    }
    dataOffset = Self.headerBytes + tokenBytes
    let (dataBytes, overflow) = (count * scored.count).multipliedReportingOverflow(
      by: Self.rowBytes(vocabulary: vocabulary))
    guard !overflow, file.size - dataOffset == dataBytes else {
      throw failure(file.size, "the positions should end at byte \(overflow ? Int.max : dataOffset + dataBytes)")
    }
    var reader = ByteReader(try file.bytes(in: Self.headerBytes..<dataOffset))
    let tokens = reader.integers(Int32.self, count: context * count) ?? []
    guard tokens.allSatisfy({ $0 >= 0 && $0 < vocabulary }) else {
      throw failure(Self.headerBytes, "a token is outside the vocabulary of \(vocabulary)")
    }
    let all = (0..<count).map { index in
      var window = Array(tokens[index * context..<(index + 1) * context])
      if let bos { window[0] = bos }
      return window
    }
    windows = ScoringWindows(
      windows: all, scored: scored, parts: [.init(name: path, kind: path, windows: 0..<count)])
    self.path = path
    self.file = file
    vocabularyCount = vocabulary
  }

  private func rowOffset(_ row: Int) -> Int { dataOffset + row * Self.rowBytes(vocabulary: vocabularyCount) }

  private func scale(_ row: Int) throws -> (scale: Float, lowest: Float) {
    let head = try file.bytes(in: rowOffset(row)..<rowOffset(row) + 8)
    let scale = Float(bitPattern: UInt32(littleEndian: head[0..<4]))
    let lowest = Float(bitPattern: UInt32(littleEndian: head[4..<8]))
    guard scale.isFinite, lowest.isFinite, scale >= 0 else {
      throw ReferenceError.malformed(path: path, offset: rowOffset(row), reason: "a scale is not finite")
    }
    return (scale, lowest)
  }

  /// Reads stored log-probabilities.
  public func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try parallelRows(of: &output, rowLength: vocabulary.count, grain: 16) { range, slice in
      for row in range {
        let (scale, lowest) = try scale(rows.lowerBound + row)
        let start = rowOffset(rows.lowerBound + row) + 8
        let stored = try file.bytes(in: start + 2 * vocabulary.lowerBound..<start + 2 * vocabulary.upperBound)
        let first = (row - range.lowerBound) * vocabulary.count
        for index in 0..<vocabulary.count {
          let value = UInt16(stored[2 * index]) | UInt16(stored[2 * index + 1]) << 8
          let logP = scale * Float(value) + lowest
          slice[first + index] = logP > Self.floor ? logP : Self.leftOut
        }
      }
    }
  }

  /// The stored -ln p of every target of a window, in nats.
  func targetLosses(window: Int) throws -> [Double] {
    try windows.rows(ofWindows: window..<window + 1).map { row in
      let (scale, lowest) = try scale(row)
      let start = rowOffset(row) + 8 + 2 * Int(windows.targets[row])
      let stored = try file.bytes(in: start..<start + 2)
      return -Double(scale * Float(UInt16(littleEndian: stored)) + lowest)
    }
  }
}

extension LogitsFile {
  /// The bytes of a file for `windows`.
  public static func byteCount(windows: ScoringWindows, vocabulary: Int) -> Int {
    headerBytes + windows.windows.count * windows.context * 4 + windows.rowCount * rowBytes(vocabulary: vocabulary)
  }

  /// Stores the predictions of a model that has run over `windows`, in llama-perplexity's format.
  ///
  /// - Throws: ``ReferenceError/notExpressible(reason:)`` for windows with a stride; ``ScoringError``, `FileError`.
  public static func write(
    _ source: any LogitSource, named name: String = "model", windows: ScoringWindows, to path: String,
    overwrite: Bool = false, memory: Int, progress: any RunObserver = NoObserver()
  ) throws {
    guard windows.scored == windows.context / 2..<windows.context - 1 else {
      throw ReferenceError.notExpressible(reason: "llama-perplexity's files have no stride")
    }
    let vocabulary = source.vocabularyCount
    let output = try OutputFile(path: path, overwrite: overwrite)
    try output.reserve(byteCount(windows: windows, vocabulary: vocabulary))
    var head = magic
    for count in [windows.context, vocabulary, windows.windows.count] { head.append(littleEndian: Int32(count)) }
    for token in windows.windows.joined() { head.append(littleEndian: token) }
    try output.write(head)
    try forEachRow(
      of: source, named: name, windows: windows, memory: memory, progress: progress,
      body: { _, logits in encodedRow(logits, vocabulary) },
      collect: { rows in for row in rows { try output.write(row) } })
    try output.commit()
  }
}
