/// Ids of words that were encoded before: text repeats its words. Bounded; a full cache starts anew.
struct WordCache {
  private var words = ByteTable(minimumCapacity: 1 << 12)
  private var ids: [Int32] = []
  private static let mostBytes = 1 << 23

  /// Appends the ids of `bytes[range]`, made by `encode` where they aren't known.
  mutating func append(
    _ bytes: [UInt8], _ range: Range<Int>, to output: inout [Int32], encode: (inout [Int32]) -> Void
  ) {
    if let place = words.value(of: bytes, in: range) {
      let start = Int(place)
      output.append(contentsOf: ids[start + 1..<start + 1 + Int(ids[start])])
      return
    }
    let start = output.count
    encode(&output)
    if words.byteCount + ids.count * 4 > Self.mostBytes { self = WordCache() }
    // Long words (rules of a table, a page without blanks) hardly come twice.
    guard range.count <= 256 else { return }
    words.insert(bytes, in: range, value: Int32(ids.count))
    ids.append(Int32(output.count - start))
    ids.append(contentsOf: output[start...])
  }
}
