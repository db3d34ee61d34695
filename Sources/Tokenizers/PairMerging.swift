import HeapModule

extension MergeTable {
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

  /// The mark of a symbol that was merged into the one before it.
  static let merged: Int32 = -2

  /// Applies the merge of the lowest rank, leftmost first, until none applies. Takes O(n log n) for n symbols.
  ///
  /// - Parameter symbols: ids; -1 for a symbol without an id, which is never merged. A merge leaves its result at the
  ///   index of its left part, and ``merged`` at that of its right part.
  func merge(_ symbols: inout [Int32]) {
    guard symbols.count > 1 else { return }
    var next = Array(1...symbols.count)
    var previous = Array(-1..<symbols.count - 1)
    var heap = Heap<Candidate>()
    func push(_ left: Int, _ symbols: [Int32]) {
      let right = next[left]
      guard right < symbols.count, let merge = self[symbols[left], symbols[right]] else { return }
      heap.insert(
        Candidate(
          rank: merge.rank, position: Int32(left), left: symbols[left], right: symbols[right], result: merge.result))
    }
    for index in 0..<symbols.count - 1 { push(index, symbols) }
    while let candidate = heap.popMin() {
      let left = Int(candidate.position)
      guard symbols[left] == candidate.left, next[left] < symbols.count, symbols[next[left]] == candidate.right else {
        continue
      }
      let right = next[left]
      symbols[left] = candidate.result
      symbols[right] = Self.merged
      next[left] = next[right]
      if next[right] < symbols.count { previous[next[right]] = left }
      if previous[left] >= 0 { push(previous[left], symbols) }
      push(left, symbols)
    }
  }

  /// Reads merges: a blank separates the parts of each. A merge whose parts or result are not tokens never applies.
  ///
  /// - Throws: ``TokenizerError`` for an entry that is not a pair.
  init(_ merges: [String], _ vocabulary: Vocabulary) throws {
    self.init(minimumCapacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      var bytes = merge.storedBytes
      // The first part may begin with a blank.
      guard let blank = bytes.dropFirst().firstIndex(of: 0x20) else {
        throw TokenizerError(key: "tokenizer.ggml.merges", "entry \(rank) is not a pair")
      }
      let left = vocabulary.table.value(of: bytes, in: 0..<blank)
      let right = vocabulary.table.value(of: bytes, in: blank + 1..<bytes.count)
      bytes.remove(at: blank)
      guard let left, let right, let result = vocabulary.table.value(of: bytes) else { continue }
      insert(left, right, MergeTable.Merge(rank: Int32(rank), result: result))
    }
  }
}
