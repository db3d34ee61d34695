import Files
import Tokenizers

extension SentencePieceModel {
  /// Checks that tokenizer.json has the same vocabulary. Added tokens may rename pieces that text never produces.
  ///
  /// - Returns: notes on the renamed pieces.
  /// - Throws: `FormatError` that names the first difference.
  func compare(with tokenizer: TokenizerJSON, _ base: BaseVocabulary) throws -> [String] {
    let added = Dictionary(tokenizer.added.map { ($0.id, $0.content) }) { first, _ in first }
    var notes: [String] = []
    func differ(_ id: Int, _ piece: String, _ token: String) -> FormatError {
      FormatError(
        path: path, "differs from tokenizer.json: id \(id) is \(piece) here and \(token) there",
        hint: "remove the file that the model was not trained with")
    }
    for (id, piece) in pieces.enumerated() {
      let text = piece.text.debugDescription
      guard let token = base[id] ?? added[id] else { throw differ(id, text, "no token") }
      if token.utf8.elementsEqual(piece.text.utf8) { continue }
      guard added[id] != nil, piece.type != .normal, piece.type != .byte else {
        throw differ(id, text, token.debugDescription)
      }
      notes.append("\(tokenizer.path): token \(token.debugDescription) replaces piece \(text), id \(id)")
    }
    for (id, token) in base.tokens.enumerated() where id >= pieces.count && added[id] == nil {
      if let token { throw differ(id, "no piece", token.debugDescription) }
    }
    return notes
  }

  /// Refuses pieces that llama.cpp and SentencePiece treat differently.
  ///
  /// - Parameter ids: the ids of added tokens, which are exempt.
  func checkPieces(_ prefix: BlankPrefix, besides ids: Set<Int>) throws {
    let joined = Set(pieces.filter(\.isMergeable).map { Array($0.text.utf8) })
    for (id, piece) in pieces.enumerated() where !ids.contains(id) {
      let subject = "piece \(piece.text.debugDescription)"
      switch piece.type {
      case .userDefined where prefix != .never && !isAtom(piece):
        throw FormatError(
          path: path, subject: subject, "is user-defined: llama.cpp adds a blank after it, SentencePiece does not",
          hint: "a tokenizer.json beside it decides instead; transformers can write one")
      case .unused:
        let bytes = Array(piece.text.utf8)
        let isMerged = bytes.indices.dropFirst().contains { split in
          joined.contains(Array(bytes[..<split])) && joined.contains(Array(bytes[split...]))
        }
        guard isMerged else { break }
        throw FormatError(
          path: path, subject: subject, "is unused: SentencePiece splits it again, llama.cpp does not")
      default: break
      }
    }
  }

  /// Whether a piece is a single character that is in no other piece, and so is never merged.
  private func isAtom(_ piece: Piece) -> Bool {
    guard let scalar = piece.text.unicodeScalars.first, piece.text.unicodeScalars.count == 1 else { return false }
    return !pieces.contains { other in
      other.isMergeable && other.text.unicodeScalars.count > 1 && other.text.unicodeScalars.contains(scalar)
    }
  }
}

extension SentencePieceModel.Piece {
  /// Whether merges may produce it.
  fileprivate var isMergeable: Bool { type == .normal || type == .userDefined || type == .unused }

  /// The token type in a GGUF.
  ///
  /// - Parameter isAlone: there is no tokenizer.json, which would list the tokens to search for in text.
  func tokenType(_ prefix: BlankPrefix, isAlone: Bool) -> TokenType {
    switch type {
    case .normal: .normal
    case .unknown: .unknown
    case .control: .control
    // llama.cpp adds a blank after a token that it finds in text. `checkPieces` ensures that merging gives the piece
    // too.
    case .userDefined: isAlone && prefix == .never ? .userDefined : .normal
    case .unused: .unused
    case .byte: .byte
    }
  }
}
