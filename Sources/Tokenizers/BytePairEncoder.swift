import HeapModule
import Synchronization

/// Byte-level byte-pair encoding: the bytes of each word are merged by rank.
final class BytePairEncoder: Sendable {
  private let splitter: Splitter
  private let composes: Bool
  private let tokenBytes: [[UInt8]]
  private let byteIDs: [Int32]
  private let merges: MergeTable
  /// Ids of whole words, if words that are tokens are not merged from bytes.
  private let words: ByteTable?
  private let cache = Mutex(WordCache())
  private let types: [TokenType]

  init(vocabulary: Vocabulary, merges: [String], preTokenizer: PreTokenizer) throws {
    splitter = preTokenizer.splitter
    types = vocabulary.types
    composes = preTokenizer.composes
    // Tokens that are searched for in text are stored as plain text.
    tokenBytes = zip(vocabulary.tokens, vocabulary.types).map { token, type in
      let bytes = type == .control || type == .userDefined || type == .unknown ? nil : ByteAlphabet.bytes(of: token)
      return bytes ?? token.storedBytes
    }
    byteIDs = ByteAlphabet.scalars.map { vocabulary.id(of: Array(String($0).utf8)) ?? -1 }
    var table = MergeTable(minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      var bytes = merge.storedBytes
      // The first part may begin with a blank.
      guard let blank = bytes.dropFirst().firstIndex(of: 0x20) else {
        throw TokenizerError(key: "tokenizer.ggml.merges", "entry \(rank) is not a pair")
      }
      let left = vocabulary.table.value(of: bytes, in: 0..<blank)
      let right = vocabulary.table.value(of: bytes, in: blank + 1..<bytes.count)
      bytes.remove(at: blank)
      // A merge whose parts or result are not tokens never applies.
      guard let left, let right, let result = vocabulary.table.value(of: bytes) else { continue }
      table.insert(left, right, MergeTable.Merge(rank: Int32(rank), result: result))
    }
    self.merges = table
    guard preTokenizer.ignoresMerges else {
      words = nil
      return
    }
    var words = ByteTable(minimumCapacity: vocabulary.tokens.count)
    for (id, bytes) in tokenBytes.enumerated() where vocabulary.types[id] == .normal {
      words.insert(bytes, value: Int32(id))
    }
    self.words = words
  }

  func bytes(of id: Int32) -> [UInt8] { tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : [] }

  /// Whether merging the bytes of any token gives the token, so that `ignore_merges` has no effect. True for
  /// vocabularies that were built by merges alone.
  func mergesGiveAllTokens() -> Bool {
    var ids: [Int32] = []
    return tokenBytes.indices.allSatisfy { id in
      guard types[id] == .normal, tokenBytes[id].count > 1 else { return true }
      ids.removeAll(keepingCapacity: true)
      merge(tokenBytes[id][...], into: &ids)
      return ids == [Int32(id)]
    }
  }

  func encode(_ text: Substring, into ids: inout [Int32]) {
    let text = ScalarText(composes ? composed(text) : text)
    cache.withLock { cache in
      splitter.words(of: text) { word in
        if word.count == 1 {
          let id = byteIDs[Int(text.utf8[word.lowerBound])]
          if id >= 0 { ids.append(id) }
          return
        }
        cache.append(text.utf8, word, to: &ids) { ids in
          if let id = words?.value(of: text.utf8, in: word) {
            ids.append(id)
          } else {
            merge(text.utf8[word], into: &ids)
          }
        }
      }
    }
  }

  /// A possible merge: lowest rank first, then leftmost.
  private struct Candidate: Comparable {
    let rank: Int32
    let position: Int32
    let left: Int32
    let right: Int32
    let result: Int32

    private var key: Int64 { Int64(rank) << 32 | Int64(position) }
    static func < (a: Candidate, b: Candidate) -> Bool { a.key < b.key }
  }

  /// Applies the merge of the lowest rank, leftmost first, until none applies. Takes O(n log n) for a word of n bytes.
  private func merge(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
    var symbols = word.map { byteIDs[Int($0)] }
    var next = Array(1...symbols.count)
    var previous = Array(-1..<symbols.count - 1)
    var heap = Heap<Candidate>()
    func push(_ left: Int) {
      let right = next[left]
      guard right < symbols.count, let merge = merges[symbols[left], symbols[right]] else { return }
      heap.insert(
        Candidate(
          rank: merge.rank, position: Int32(left), left: symbols[left], right: symbols[right], result: merge.result))
    }
    for index in 0..<symbols.count - 1 { push(index) }
    while let candidate = heap.popMin() {
      let left = Int(candidate.position)
      guard symbols[left] == candidate.left, next[left] < symbols.count, symbols[next[left]] == candidate.right else {
        continue
      }
      let right = next[left]
      symbols[left] = candidate.result
      symbols[right] = -2
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      if previous[left] >= 0 { push(previous[left]) }
      push(left)
    }
    for symbol in symbols where symbol >= 0 { ids.append(symbol) }
  }
}
