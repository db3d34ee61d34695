/// A bounded cache of the ids of encoded words. A full cache is cleared.
struct WordCache {
  private var words = ByteTable(minimumCapacity: 1 << 12)
  private var ids: [Int32] = []
  private static let maximumBytes = 1 << 23

  /// Appends the ids of `bytes[range]`, computed by `encode` if they are not cached.
  mutating func append(
    _ bytes: [UInt8], _ range: Range<Int>, to output: inout [Int32], encode: (inout [Int32]) -> Void
  ) {
    if let index = words.value(of: bytes, in: range) {
      let start = Int(index)
      output.append(contentsOf: ids[start + 1..<start + 1 + Int(ids[start])])
      return
    }
    let start = output.count
    encode(&output)
    if words.byteCount + ids.count * 4 > Self.maximumBytes { self = WordCache() }
    // Long words (a line of a table, a page without blanks) are rarely repeated.
    guard range.count <= 256 else { return }
    words.insert(bytes, in: range, value: Int32(ids.count))
    ids.append(Int32(output.count - start))
    ids.append(contentsOf: output[start...])
  }
}
