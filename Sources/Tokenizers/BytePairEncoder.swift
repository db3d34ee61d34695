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
    self.merges = try MergeTable(merges, vocabulary)
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

  /// Merges the bytes of a word.
  private func merge(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
    var symbols = word.map { byteIDs[Int($0)] }
    merges.merge(&symbols)
    for symbol in symbols where symbol >= 0 { ids.append(symbol) }
  }
}
