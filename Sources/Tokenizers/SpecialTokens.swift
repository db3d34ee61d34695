/// Tokens that are searched for in a text before it is split: user-defined tokens always, control tokens on request.
struct SpecialTokens: Sendable {
  enum Piece: Equatable {
    case token(Int32)
    case text(Substring)
  }

  private let table: ByteTable
  private let isControl: [Int32: Bool]
  /// Lengths of the tokens that begin with each byte, longest first.
  private let lengths: [[Int]]

  init(_ vocabulary: Vocabulary) {
    var table = ByteTable()
    var isControl: [Int32: Bool] = [:]
    var lengths = [Set<Int>](repeating: [], count: 256)
    for (id, type) in vocabulary.types.enumerated() {
      let bytes = Array(vocabulary.tokens[id].utf8)
      // A token that is not UTF-8 cannot occur in a text.
      if vocabulary.tokens[id].hasStandIns { continue }
      guard type == .control || type == .userDefined || type == .unknown, let first = bytes.first else { continue }
      table.insert(bytes, value: Int32(id))
      isControl[Int32(id)] = type != .userDefined
      lengths[Int(first)].insert(bytes.count)
    }
    self.table = table
    self.isControl = isControl
    self.lengths = lengths.map { $0.sorted(by: >) }
  }

  /// Splits a text from left to right, with the longest token at each position.
  func pieces(of text: String, parseSpecial: Bool) -> [Piece] {
    guard !text.isEmpty else { return [] }
    guard table.count > 0 else { return [.text(text[...])] }
    let bytes = Array(text.utf8)
    var pieces: [Piece] = []
    var start = text.startIndex
    var (index, done) = (0, 0)
    // Advances from the last index by bytes: computing a string's index takes time proportional to the distance.
    func move(to byte: Int) -> String.Index { text.utf8.index(start, offsetBy: byte - done) }
    while index < bytes.count {
      guard let (id, length) = token(in: bytes, at: index, parseSpecial: parseSpecial) else {
        index += 1
        continue
      }
      let match = move(to: index)
      if index > done { pieces.append(.text(text[start..<match])) }
      pieces.append(.token(id))
      start = text.utf8.index(match, offsetBy: length)
      index += length
      done = index
    }
    if done < bytes.count { pieces.append(.text(text[start...])) }
    return pieces
  }

  private func token(in bytes: [UInt8], at index: Int, parseSpecial: Bool) -> (id: Int32, length: Int)? {
    for length in lengths[Int(bytes[index])] where index + length <= bytes.count {
      if let id = table.value(of: bytes, in: index..<index + length), parseSpecial || isControl[id] == false {
        return (id, length)
      }
    }
    return nil
  }
}
