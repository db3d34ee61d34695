/// Tokens that are found in a text before it is split: user-defined ones always, control tokens where asked.
struct SpecialTokens: Sendable {
  enum Piece: Equatable {
    case token(Int32)
    case text(Substring)
  }

  private struct Token: Sendable {
    let text: String
    let id: Int32
    let isControl: Bool
  }
  /// Longest first, as the reference looks for them.
  private let tokens: [Token]

  init(tokens: [String], types: [Int32]) {
    let (unknown, control, userDefined): (Int32, Int32, Int32) = (2, 3, 4)
    self.tokens = zip(tokens, types).enumerated().compactMap { index, entry in
      guard entry.1 == control || entry.1 == userDefined || entry.1 == unknown, !entry.0.isEmpty else { return nil }
      return Token(text: entry.0, id: Int32(index), isControl: entry.1 != userDefined)
    }.sorted { ($0.text.utf8.count, $1.id) > ($1.text.utf8.count, $0.id) }
  }

  func pieces(of text: String, parseSpecial: Bool) -> [Piece] {
    var pieces: [Piece] = text.isEmpty ? [] : [.text(text[...])]
    for token in tokens where parseSpecial || !token.isControl {
      // Most texts hold none of them: look before taking the list apart.
      guard text.utf8.count >= token.text.utf8.count, text.contains(token.text) else { continue }
      pieces = pieces.flatMap { piece -> [Piece] in
        guard case .text(var rest) = piece else { return [piece] }
        var parts: [Piece] = []
        while let range = rest.firstRange(of: token.text) {
          if range.lowerBound > rest.startIndex { parts.append(.text(rest[..<range.lowerBound])) }
          parts.append(.token(token.id))
          rest = rest[range.upperBound...]
        }
        if !rest.isEmpty { parts.append(.text(rest)) }
        return parts
      }
    }
    return pieces
  }
}
