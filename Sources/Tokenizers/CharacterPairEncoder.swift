import Synchronization

/// Byte-pair encoding of characters, as Gemma 4 has it (`tokenizer.ggml.model` "gemma4"): blanks become U+2581, the
/// characters of a line are merged by rank, and characters without a token are encoded as bytes.
///
/// A run of line breaks is one token if there is such a token.
final class CharacterPairEncoder: Sendable {
  private let vocabulary: Vocabulary
  private let tokenBytes: [[UInt8]]
  private let byteIDs: [Int32]
  private let merges: MergeTable
  /// Whether no token spans two words, so that words can be encoded separately.
  private let hasWords: Bool
  private let cache = Mutex(WordCache())

  private static let lineBreak = UInt8(ascii: "\n")

  init(vocabulary: Vocabulary, merges: [String]) throws {
    self.vocabulary = vocabulary
    self.merges = try MergeTable(merges, vocabulary)
    let digits = Array("0123456789ABCDEF".utf8)
    byteIDs = (0..<256).map { byte in
      vocabulary.id(of: Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15], UInt8(ascii: ">")]) ?? -1
    }
    let texts = vocabulary.tokens.map(\.storedBytes)
    var bytes = texts.map { ScoreEncoder.replacing(ScoreEncoder.blank, by: [0x20], in: $0) }
    for (byte, id) in byteIDs.enumerated() where id >= 0 && vocabulary.types[Int(id)] == .byte {
      bytes[Int(id)] = [UInt8(byte)]
    }
    tokenBytes = bytes
    hasWords = !ScoreEncoder.spansWords(texts)
  }

  func bytes(of id: Int32) -> [UInt8] { tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : [] }

  func encode(_ text: Substring, into ids: inout [Int32]) {
    let bytes = ScoreEncoder.replacing([0x20], by: ScoreEncoder.blank, in: Array(text.utf8))
    cache.withLock { cache in
      var start = 0
      while start < bytes.count {
        let isBreak = bytes[start] == Self.lineBreak
        var end = start + 1
        while end < bytes.count, (bytes[end] == Self.lineBreak) == isBreak { end += 1 }
        if isBreak, let id = vocabulary.table.value(of: bytes, in: start..<end) {
          ids.append(id)
          start = end
          continue
        }
        while start < end {
          let stop = hasWords ? min(end, ScoreEncoder.endOfWord(bytes, start)) : end
          cache.append(bytes, start..<stop, to: &ids) { merge(bytes, start..<stop, into: &$0) }
          start = stop
        }
      }
    }
  }

  private func merge(_ bytes: [UInt8], _ word: Range<Int>, into ids: inout [Int32]) {
    var starts: [Int] = []
    var symbols: [Int32] = []
    var start = word.lowerBound
    while start < word.upperBound {
      // Text is valid UTF-8: other bytes of a character begin with the bits 10.
      var end = start + 1
      while end < word.upperBound, bytes[end] & 0xC0 == 0x80 { end += 1 }
      starts.append(start)
      symbols.append(vocabulary.table.value(of: bytes, in: start..<end) ?? -1)
      start = end
    }
    starts.append(word.upperBound)
    merges.merge(&symbols)
    for (index, symbol) in symbols.enumerated() where symbol != MergeTable.merged {
      guard symbol < 0 else {
        ids.append(symbol)
        continue
      }
      for byte in bytes[starts[index]..<starts[index + 1]] where byteIDs[Int(byte)] >= 0 {
        ids.append(byteIDs[Int(byte)])
      }
    }
  }
}
