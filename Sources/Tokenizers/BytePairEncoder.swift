import Synchronization

/// Byte-level byte-pair encoding: words of the splitter, cut into bytes, merged by rank.
final class BytePairEncoder: Sendable {
  private struct Pair: Hashable { let left: Int32, right: Int32 }
  private struct Merge { let rank: Int32, result: Int32 }

  private let splitter: Splitter
  private let tokenBytes: [[UInt8]]
  private let byteIDs: [Int32]
  private let merges: [Pair: Merge]
  /// Whole words that were encoded before: text repeats its words.
  private let cache = Mutex<[[UInt8]: [Int32]]>([:])
  private static let cacheLimit = 1 << 17

  init(tokens: [String], merges: [String], splitter: Splitter) throws {
    self.splitter = splitter
    tokenBytes = tokens.map { ByteAlphabet.bytes(of: $0) ?? Array($0.utf8) }
    var ids: [String: Int32] = Dictionary(minimumCapacity: tokens.count)
    for (id, token) in tokens.enumerated() { ids[token] = Int32(id) }
    byteIDs = ByteAlphabet.scalars.map { ids[String($0)] ?? -1 }
    var table: [Pair: Merge] = Dictionary(minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let parts = merge.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw TokenizerError(key: "tokenizer.ggml.merges", "entry \(rank) is no pair")
      }
      // A merge whose parts or result are no tokens can never apply.
      guard let left = ids[String(parts[0])], let right = ids[String(parts[1])],
        let result = ids[String(parts[0] + parts[1])]
      else { continue }
      let pair = Pair(left: left, right: right)
      if table[pair] == nil { table[pair] = Merge(rank: Int32(rank), result: result) }
    }
    self.merges = table
  }

  func bytes(of id: Int32) -> [UInt8] { tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : [] }

  func encode(_ text: Substring, into ids: inout [Int32]) {
    splitter.words(of: text) { word in
      if let known = cache.withLock({ $0[word] }) {
        ids.append(contentsOf: known)
        return
      }
      let encoded = merge(word)
      ids.append(contentsOf: encoded)
      cache.withLock { cache in
        if cache.count >= Self.cacheLimit { cache.removeAll(keepingCapacity: true) }
        cache[word] = encoded
      }
    }
  }

  /// Applies the lowest-ranked merge until none applies; the leftmost of equal rank first. A heap of candidates keeps a
  /// word of n bytes at n log n.
  private func merge(_ word: [UInt8]) -> [Int32] {
    var symbols = word.map { byteIDs[Int($0)] }
    guard symbols.count > 1 else { return symbols.filter { $0 >= 0 } }
    var next = Array(1...symbols.count)
    var previous = Array(-1..<symbols.count - 1)
    var heap = MergeHeap()
    func push(_ left: Int) {
      let right = next[left]
      guard right < symbols.count, let merge = merges[Pair(left: symbols[left], right: symbols[right])] else { return }
      heap.push(
        MergeHeap.Entry(
          rank: merge.rank, position: Int32(left), left: symbols[left], right: symbols[right], result: merge.result))
    }
    for index in 0..<symbols.count - 1 { push(index) }
    while let entry = heap.pop() {
      let left = Int(entry.position)
      guard symbols[left] == entry.left, next[left] < symbols.count, symbols[next[left]] == entry.right else {
        continue
      }
      let right = next[left]
      symbols[left] = entry.result
      symbols[right] = -2
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      if previous[left] >= 0 { push(previous[left]) }
      push(left)
    }
    return symbols.filter { $0 >= 0 }
  }
}

/// A binary heap of possible merges: lowest rank first, then leftmost.
private struct MergeHeap {
  struct Entry {
    let rank: Int32
    let position: Int32
    let left: Int32
    let right: Int32
    let result: Int32

    var key: Int64 { Int64(rank) << 32 | Int64(position) }
  }

  private var entries: [Entry] = []

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0, entries[child].key < entries[(child - 1) / 2].key {
      entries.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Entry? {
    guard let first = entries.first else { return nil }
    let last = entries.removeLast()
    guard !entries.isEmpty else { return first }
    entries[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < entries.count && entries[child].key < entries[least].key {
        least = child
      }
      if least == parent { return first }
      entries.swapAt(least, parent)
      parent = least
    }
  }
}
