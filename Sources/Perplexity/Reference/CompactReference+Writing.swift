import Files
import Foundation
import Tensors

extension CompactReference {
  /// The target for the error of the mean divergence due to sampled tails, in nats.
  static let errorTarget = 1e-4
  /// The assumed standard deviation of ln p - ln q over a tail, in nats. Q2_K has about 1, unusable models 2 and more.
  private static let tailSpread = 3.0
  /// The maximum probability of a tail, which keeps quantiles accurate.
  private static let maximumTail = 0.005

  /// The target for the probability of each tail, if there are `rows` positions.
  ///
  /// With m samples, a tail of mass t has the standard error t s / sqrt(m), where s is the standard deviation of ln p -
  /// ln q over the tail. The mean over n positions has the error t s / sqrt(m n), and the bound is three of these. Few
  /// windows therefore need smaller tails than many. Nearly flat predictions exceed this mass even with 1024 kept
  /// tokens. Their tails get more samples, up to ``maximumSamples``, which compensates for up to twice the mass. Beyond
  /// that, the reported bound is larger.
  static func tailTarget(rows: Int) -> Double {
    min(maximumTail, errorTarget / 3 / tailSpread * Double(samples * max(1, rows)).squareRoot())
  }

  /// Stores the predictions of a model that has run over `windows`.
  ///
  /// The file appears under its name when it is complete.
  ///
  /// - Parameter memory: bytes for rows of logits.
  /// - Throws: ``ScoringError``, `FileError`, and what `source` and `progress` throw.
  public static func write(
    _ source: any LogitSource, windows: ScoringWindows, provenance: Provenance, to path: String,
    overwrite: Bool = false, memory: Int, progress: any RunObserver = NoObserver()
  ) throws {
    precondition(
      provenance.context == windows.context && provenance.vocabulary == source.vocabularyCount, "\(provenance)")
    let header = Header(
      provenance: provenance, windows: windows.windows.count, scored: windows.scored, parts: windows.parts,
      rowsPerFrame: ReferenceFrame.rowsPerFrame, mostTokens: maximumTokens, samples: maximumSamples,
      tailTarget: tailTarget(rows: windows.rowCount))
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let json = Array(try encoder.encode(header))
    var start = magic
    start.append(littleEndian: UInt64(json.count))
    start += json
    let output = try OutputFile(path: path, overwrite: overwrite)
    var offsets = [start.count + (header.frames + 2) * 8 + DataDigest.byteCount]
    try output.write([UInt8](repeating: 0, count: offsets[0]))
    func append(_ bytes: [UInt8]) throws {
      let frame = Zstd.compress(bytes)
      try output.write(frame)
      offsets.append(offsets[offsets.count - 1] + frame.count)
    }
    var tokens: [UInt8] = []
    for token in windows.windows.joined() { tokens.append(littleEndian: token) }
    try append(tokens)

    var pending: [ReferenceRow] = []
    try forEachRow(
      of: source, named: provenance.model, windows: windows, memory: memory, progress: progress,
      body: { row, logits in
        ReferenceRow(
          logits: logits, count: provenance.vocabulary, target: Int(windows.targets[row]), limit: maximumTokens,
          tailTarget: header.tailTarget, samples: samples, maximumSamples: maximumSamples, seed: UInt64(row))
      },
      collect: { rows in
        pending += rows
        while pending.count >= header.rowsPerFrame {
          try append(ReferenceFrame.encode(Array(pending.prefix(header.rowsPerFrame))))
          pending.removeFirst(header.rowsPerFrame)
        }
      })
    if !pending.isEmpty { try append(ReferenceFrame.encode(pending)) }
    var front = start
    for offset in offsets { front.append(littleEndian: UInt64(offset)) }
    front += DataDigest.bytes(of: front)
    try output.write(front.span.bytes, at: 0)
    try output.commit()
  }
}

extension CompactReference {
  /// Encodes rows of logits as a frame, for tests that damage it.
  package static func encodedRows(_ logits: [Float], vocabulary: Int, limit: Int, samples: Int) -> [UInt8] {
    var logits = logits
    let rows = logits.count / vocabulary
    return logits.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return [] }
      return ReferenceFrame.encode(
        (0..<rows).map { row in
          ReferenceRow(
            logits: base + row * vocabulary, count: vocabulary, target: 0, limit: limit, tailTarget: 0,
            samples: samples, maximumSamples: samples, seed: UInt64(row))
        })
    }
  }

  /// Whether `bytes` are a valid frame.
  package static func isFrame(_ bytes: [UInt8], rows: Int, vocabulary: Int, limit: Int, samples: Int) -> Bool {
    let decoded = ReferenceFrame.decode(bytes, rows: rows, limit: limit, samples: samples, vocabulary: vocabulary)
    return (try? decoded.get()) != nil
  }
}
