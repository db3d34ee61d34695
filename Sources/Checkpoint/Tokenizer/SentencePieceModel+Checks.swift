import Files
import Tokenizers

extension SentencePieceModel {
  /// Whether tokenizer.json is of this vocabulary. Added tokens may have other names than their pieces, where text never
  /// gives those.
  ///
  /// - Returns: notes on the pieces that it renames.
  /// - Throws: ``FormatError`` that names the first piece in which they differ.
  func compare(with tokenizer: TokenizerJSON, _ base: BaseVocabulary) throws -> [String] {
    let added = Dictionary(tokenizer.added.map { ($0.id, $0.content) }) { first, _ in first }
    var notes: [String] = []
    func differ(_ id: Int, _ piece: String, _ token: String) -> FormatError {
      FormatError(
        path: path, "is another tokenizer than tokenizer.json: id \(id) is \(piece) here and \(token) there",
        hint: "take away the one that the model was not trained with")
    }
    for (id, piece) in pieces.enumerated() {
      let text = piece.text.debugDescription
      guard let token = base[id] ?? added[id] else { throw differ(id, text, "no token") }
      if token.utf8.elementsEqual(piece.text.utf8) { continue }
      guard added[id] != nil, piece.type != .normal, piece.type != .byte else {
        throw differ(id, text, token.debugDescription)
      }
      notes.append("\(tokenizer.path): token \(token.debugDescription) takes the place of piece \(text), id \(id)")
    }
    for (id, token) in base.tokens.enumerated() where id >= pieces.count && added[id] == nil {
      if let token { throw differ(id, "no piece", token.debugDescription) }
    }
    return notes
  }

  /// Refuses pieces that llama.cpp treats otherwise than SentencePiece does.
  ///
  /// - Parameter ids: those that other files make added tokens of, by whose rules they go.
  func checkPieces(_ prefix: BlankPrefix, besides ids: Set<Int>) throws {
    let joined = Set(pieces.filter(\.isJoined).map { Array($0.text.utf8) })
    for (id, piece) in pieces.enumerated() where !ids.contains(id) {
      let subject = "piece \(piece.text.debugDescription)"
      switch piece.type {
      case .userDefined where prefix != .never && !isAtom(piece):
        throw FormatError(
          path: path, subject: subject, "is user-defined: llama.cpp puts a blank behind it, SentencePiece does not",
          hint: "a tokenizer.json beside it decides instead, such as transformers writes")
      case .unused:
        let bytes = Array(piece.text.utf8)
        let isMade = bytes.indices.dropFirst().contains { split in
          joined.contains(Array(bytes[..<split])) && joined.contains(Array(bytes[split...]))
        }
        guard isMade else { break }
        throw FormatError(
          path: path, subject: subject, "is unused: SentencePiece takes it apart again, llama.cpp does not")
      default: break
      }
    }
  }

  /// Whether a piece is one character that no other piece holds: such as is never merged, whatever its type.
  private func isAtom(_ piece: Piece) -> Bool {
    guard let scalar = piece.text.unicodeScalars.first, piece.text.unicodeScalars.count == 1 else { return false }
    return !pieces.contains { other in
      other.isJoined && other.text.unicodeScalars.count > 1 && other.text.unicodeScalars.contains(scalar)
    }
  }
}

extension SentencePieceModel.Piece {
  /// Whether merging may give it.
  fileprivate var isJoined: Bool { type == .normal || type == .userDefined || type == .unused }

  /// The type of its token in a GGUF.
  ///
  /// - Parameter isAlone: tokenizer.json does not say which pieces are looked for in text.
  func tokenType(_ prefix: BlankPrefix, isAlone: Bool) -> TokenType {
    switch type {
    case .normal: .normal
    case .unknown: .unknown
    case .control: .control
    // Behind a token that it finds in text, llama.cpp puts a blank; `checkPieces` has seen that merging serves as well.
    case .userDefined: isAlone && prefix == .never ? .userDefined : .normal
    case .unused: .unused
    case .byte: .byte
    }
  }
}
