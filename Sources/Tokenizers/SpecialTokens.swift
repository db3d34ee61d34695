/// Tokens that are found in a text before it is split: user-defined ones always, control tokens where asked.
struct SpecialTokens: Sendable {
  enum Piece: Equatable {
    case token(Int32)
    case text(Substring)
  }

  private let table: ByteTable
  private let isControl: [Int32: Bool]
  /// Lengths of the tokens that begin with a byte, longest first.
  private let lengths: [[Int]]

  init(_ vocabulary: Vocabulary) {
    var table = ByteTable()
    var isControl: [Int32: Bool] = [:]
    var lengths = [Set<Int>](repeating: [], count: 256)
    for (id, type) in vocabulary.types.enumerated() {
      let bytes = Array(vocabulary.tokens[id].utf8)
      // Of a text, which is UTF-8, a token that is not could be part of a character at most.
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

  /// The text in pieces: from left to right, the longest token at each place.
  func pieces(of text: String, parseSpecial: Bool) -> [Piece] {
    guard !text.isEmpty else { return [] }
    guard table.count > 0 else { return [.text(text[...])] }
    let bytes = Array(text.utf8)
    var pieces: [Piece] = []
    var start = text.startIndex
    var (index, done) = (0, 0)
    // Moves on by bytes from the last place: a string's index is found in constant time only from a near one.
    func move(to byte: Int) -> String.Index { text.utf8.index(start, offsetBy: byte - done) }
    while index < bytes.count {
      guard let (id, length) = token(in: bytes, at: index, parseSpecial: parseSpecial) else {
        index += 1
        continue
      }
      let found = move(to: index)
      if index > done { pieces.append(.text(text[start..<found])) }
      pieces.append(.token(id))
      start = text.utf8.index(found, offsetBy: length)
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
