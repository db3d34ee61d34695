import HeapModule
import Synchronization

/// SentencePiece's encoding, as llama.cpp implements it for `tokenizer.ggml.model` "llama". Neighbours that form a
/// token are merged, the highest score first. Characters without a token are encoded as bytes.
final class ScoreEncoder: Sendable {
  private let vocabulary: Vocabulary
  private let scores: [Float]
  private let tokenBytes: [[UInt8]]
  private let byteIDs: [Int32]
  private let longest: Int
  /// Whether no token spans two words, so that words can be encoded separately.
  private let hasWords: Bool
  private let cache = Mutex(WordCache())

  /// U+2581, which represents a blank.
  static let blank: [UInt8] = [0xE2, 0x96, 0x81]

  init(vocabulary: Vocabulary, scores: [Float], unknown: Int32?) throws {
    self.vocabulary = vocabulary
    self.scores = scores
    let texts = vocabulary.tokens.map(\.storedBytes)
    let digits = Array("0123456789ABCDEF".utf8)
    byteIDs = (0..<256).map { byte in
      let text = Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15], 0x3E]
      return vocabulary.id(of: text) ?? vocabulary.id(of: [UInt8(byte)]) ?? unknown ?? -1
    }
    var bytes = texts.map { Self.replacing(Self.blank, by: [0x20], in: $0) }
    for (byte, id) in byteIDs.enumerated() where id >= 0 && vocabulary.types[Int(id)] == .byte {
      bytes[Int(id)] = [UInt8(byte)]
    }
    tokenBytes = bytes
    longest = texts.reduce(0) { max($0, $1.count) }
    hasWords = !Self.spansWords(texts)
  }

  /// Whether any token has a blank behind another character.
  static func spansWords(_ tokens: [[UInt8]]) -> Bool {
    tokens.contains { text in
      text.indices.contains { $0 > 0 && isBlank(text, $0) && !($0 >= 3 && isBlank(text, $0 - 3)) }
    }
  }

  func bytes(of id: Int32) -> [UInt8] { tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : [] }

  /// - Parameter prefixed: whether a blank is added in front.
  func encode(_ text: Substring, prefixed: Bool, into ids: inout [Int32]) {
    let bytes = (prefixed ? Self.blank : []) + Self.replacing([0x20], by: Self.blank, in: Array(text.utf8))
    cache.withLock { cache in
      var start = 0
      while start < bytes.count {
        let end = hasWords ? Self.endOfWord(bytes, start) : bytes.count
        cache.append(bytes, start..<end, to: &ids) { merge(bytes, start..<end, into: &$0) }
        start = end
      }
    }
  }

  /// The end of a word: blanks, then characters up to the next blank.
  static func endOfWord(_ bytes: [UInt8], _ start: Int) -> Int {
    var end = start
    while isBlank(bytes, end) { end += 3 }
    while end < bytes.count, !isBlank(bytes, end) { end += 1 }
    return end
  }

  private static func isBlank(_ bytes: [UInt8], _ index: Int) -> Bool {
    index + 3 <= bytes.count && bytes[index] == blank[0] && bytes[index + 1] == blank[1] && bytes[index + 2] == blank[2]
  }

  static func replacing(_ old: [UInt8], by new: [UInt8], in bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
      if bytes[index] == old[0], index + old.count <= bytes.count,
        bytes[index..<index + old.count].elementsEqual(old)
      {
        result.append(contentsOf: new)
        index += old.count
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return result
  }

  /// A possible merge: highest score first, then leftmost.
  private struct Candidate: Comparable {
    let score: Float
    let left: Int32
    let right: Int32
    let size: Int32

    static func < (a: Candidate, b: Candidate) -> Bool {
      a.score > b.score || (a.score == b.score && a.left < b.left)
    }
  }

  private func merge(_ bytes: [UInt8], _ word: Range<Int>, into ids: inout [Int32]) {
    var starts: [Int] = []
    for index in word where bytes[index] & 0xC0 != 0x80 { starts.append(index) }
    let count = starts.count
    var sizes = starts.indices.map { ($0 + 1 < count ? starts[$0 + 1] : word.upperBound) - starts[$0] }
    var next = starts.indices.map { $0 + 1 }
    var previous = starts.indices.map { $0 - 1 }
    var heap = Heap<Candidate>()
    func push(_ left: Int) {
      guard left >= 0, next[left] < count else { return }
      let size = sizes[left] + sizes[next[left]]
      guard size <= longest, let id = vocabulary.table.value(of: bytes, in: starts[left]..<starts[left] + size) else {
        return
      }
      heap.insert(
        Candidate(score: scores[Int(id)], left: Int32(left), right: Int32(next[left]), size: Int32(size)))
    }
    for index in starts.indices { push(index) }
    while let candidate = heap.popMin() {
      let (left, right) = (Int(candidate.left), Int(candidate.right))
      guard sizes[left] > 0, sizes[right] > 0, sizes[left] + sizes[right] == candidate.size else { continue }
      sizes[left] += sizes[right]
      sizes[right] = 0
      next[left] = next[right]
      if next[right] < count { previous[next[right]] = left }
      push(previous[left])
      push(left)
    }
    for index in starts.indices where sizes[index] > 0 {
      let range = starts[index]..<starts[index] + sizes[index]
      if let id = vocabulary.table.value(of: bytes, in: range) {
        ids.append(id)
      } else {
        for byte in bytes[range] where byteIDs[Int(byte)] >= 0 { ids.append(byteIDs[Int(byte)]) }
      }
    }
  }
}
