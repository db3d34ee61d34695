import Files
import Foundation

/// A file of a reference's predictions: for each scored position, the likeliest tokens and a sample of the others.
///
/// It has at most a fortieth of the bytes of llama-perplexity's file, does not clamp probabilities, and records its
/// provenance.
///
/// Layout (little-endian): the letters `QREF`, u32 version 1, u64 length of the header, the header as JSON; u64 byte
/// offsets of the frames and of the file's end; SHA-256 of all of the above; the frames, each compressed by zstd: the
/// windows' tokens as i32, then each ``ReferenceFrame``.
public final class CompactReference: Sendable {
  /// The maximum number of tokens kept per position.
  static let maximumTokens = 1024
  /// The number of tokens drawn from a tail, and the maximum for tails above the target mass.
  static let samples = 32
  static let maximumSamples = 128

  /// The file's path.
  public let path: String
  /// The model and the text.
  public let provenance: Provenance
  /// The text that was scored.
  public let windows: ScoringWindows
  private let file: PositionedFile
  private let header: Header
  private let offsets: [Int]

  /// The number of scored positions.
  public var rowCount: Int { windows.rowCount }
  /// The number of tokens of the vocabulary.
  public var vocabularyCount: Int { provenance.vocabulary }
  /// The file's size in bytes.
  public var byteCount: Int { file.size }

  struct Header: Codable {
    var provenance: Provenance
    var windows: Int
    var scored: Range<Int>
    var parts: [ScoringWindows.Part]
    var rowsPerFrame: Int
    var mostTokens: Int
    var samples: Int
    /// The target for the probability of a tail.
    var tailTarget: Double

    var rows: Int { windows * scored.count }
    /// The number of frames of rows, which follow the frame of tokens.
    var frames: Int { (rows + rowsPerFrame - 1) / rowsPerFrame }

    /// Whether all counts can be multiplied and allocated safely.
    var isSane: Bool {
      provenance.context >= 4 && provenance.context <= 1 << 24 && windows >= 1 && windows <= 1 << 32
        && scored.lowerBound >= 0 && scored.upperBound < provenance.context && !scored.isEmpty
        && (1...4096).contains(rowsPerFrame) && (1...65535).contains(mostTokens) && (0...65535).contains(samples)
        && provenance.vocabulary >= 1 && provenance.vocabulary <= Int(Int32.max)
        && parts.allSatisfy { $0.windows.lowerBound >= 0 && $0.windows.upperBound <= windows }
    }
  }

  static let magic: [UInt8] = Array("QREF".utf8) + [1, 0, 0, 0]

  /// Opens a reference and reads its tokens.
  ///
  /// - Throws: ``ReferenceError/malformed(path:offset:reason:)``, `FileError`.
  public init(path: String) throws {
    let file = try PositionedFile(path: path)
    func failure(_ offset: Int, _ reason: String) -> ReferenceError {
      .malformed(path: path, offset: offset, reason: reason)
    }
    let start = try file.bytes(in: 0..<min(16, file.size))
    guard start.count == 16, start.prefix(8).elementsEqual(Self.magic) else {
      throw failure(0, "is not a compact reference: it does not begin with QREF and version 1")
    }
    let length = UInt64(littleEndian: start[8..<16])
    guard length <= UInt64(file.size - 16) else { throw failure(8, "a header of \(length) bytes") }
    let json = try file.bytes(in: 16..<16 + Int(length))
    guard let header = try? JSONDecoder().decode(Header.self, from: Data(json)), header.isSane else {
      throw failure(16, "the header is damaged")
    }
    let tableStart = 16 + json.count
    let tableBytes = (header.frames + 2) * 8
    guard header.frames < file.size, tableBytes + DataDigest.byteCount <= file.size - tableStart else {
      throw failure(tableStart, "the table of \(header.frames) frames does not fit")
    }
    let table = try file.bytes(in: tableStart..<tableStart + tableBytes + DataDigest.byteCount)
    let offsets = (0..<header.frames + 2).map { Int(clamping: UInt64(littleEndian: table[$0 * 8..<$0 * 8 + 8])) }
    guard
      DataDigest.bytes(of: start + json + table.prefix(tableBytes)).elementsEqual(table.suffix(DataDigest.byteCount))
    else { throw failure(tableStart, "the header or the table is damaged: its checksum differs") }
    guard offsets.first == tableStart + table.count, offsets.last == file.size,
      zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 })
    else { throw failure(tableStart, "the frames do not follow each other up to the end of the file") }

    let context = header.provenance.context
    let tokenBytes = header.windows * context * 4
    // A few hundred compressed zeros can expand to any size. Text does not compress by a factor of 1000.
    let compressed = offsets[1] - offsets[0]
    guard tokenBytes <= max(1 << 20, compressed * 1000),
      let raw = Zstd.decompress(try file.bytes(in: offsets[0]..<offsets[1]), bound: tokenBytes), raw.count == tokenBytes
    else { throw failure(offsets[0], "the tokens are damaged") }
    var reader = ByteReader(raw)
    let tokens = reader.integers(Int32.self, count: header.windows * context) ?? []
    guard tokens.allSatisfy({ $0 >= 0 && $0 < header.provenance.vocabulary }) else {
      throw failure(offsets[0], "a token is outside the vocabulary")
    }
    windows = ScoringWindows(
      windows: (0..<header.windows).map { Array(tokens[$0 * context..<($0 + 1) * context]) }, scored: header.scored,
      parts: header.parts)
    self.path = path
    self.file = file
    self.header = header
    self.offsets = offsets
    provenance = header.provenance
  }

  /// Reads the rows of a range of frames.
  func rows(frames: Range<Int>) throws -> [ReferenceRow] {
    var rows: [ReferenceRow] = []
    for frame in frames {
      let bytes = try file.bytes(in: offsets[frame + 1]..<offsets[frame + 2])
      let count = min(header.rowsPerFrame, header.rows - frame * header.rowsPerFrame)
      let bound = ReferenceFrame.bound(rows: count, entriesPerRow: header.mostTokens + header.samples)
      guard let raw = Zstd.decompress(bytes, bound: bound) else {
        throw ReferenceError.malformed(path: path, offset: offsets[frame + 1], reason: "a frame is damaged")
      }
      switch ReferenceFrame.decode(
        raw, rows: count, limit: header.mostTokens, samples: header.samples, vocabulary: vocabularyCount)
      {
      case .success(let decoded): rows += decoded
      case .failure(let malformed):
        throw ReferenceError.malformed(path: path, offset: offsets[frame + 1], reason: malformed.reason)
      }
    }
    return rows
  }

  /// Reads the rows at some indices. A frame is decoded once for consecutive indices in it.
  func rows(at indices: some Sequence<Int>) throws -> [ReferenceRow] {
    var rows: [ReferenceRow] = []
    var frame: Int?
    var decoded: [ReferenceRow] = []
    for index in indices {
      let indexFrame = index / header.rowsPerFrame
      if indexFrame != frame {
        decoded = try self.rows(frames: indexFrame..<indexFrame + 1)
        frame = indexFrame
      }
      rows.append(decoded[index % header.rowsPerFrame])
    }
    return rows
  }

  /// The number of rows, in complete frames, whose decoded form has at most `memory` bytes.
  func rowsPerGroup(memory: Int) -> Int {
    let perFrame = header.rowsPerFrame * (header.mostTokens + header.samples) * 8
    return max(1, memory / perFrame) * header.rowsPerFrame
  }
}
