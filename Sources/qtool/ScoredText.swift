import Files
import Foundation
import Imatrix
import Perplexity
import Tokenizers

/// A text to score, with its kind.
struct ScoredText {
  let name: String
  let kind: String
  /// One document per conversation; other files are one document.
  let documents: [String]
  /// Whether control tokens, which chat templates contain, are parsed.
  let parsesSpecial: Bool
  /// Notes on text whose content was changed on reading.
  let notes: [String]

  var bytes: [UInt8] { documents.flatMap { Array($0.utf8) } }

  func tokens(_ tokenizer: Tokenizer) -> [Int32] {
    if documents.count == 1, !parsesSpecial { return tokenizer.encode(documents[0]) }
    return (tokenizer.addsBOS ? [tokenizer.bos].compactMap { $0 } : [])
      + documents.flatMap { tokenizer.encode($0, addSpecial: false, parseSpecial: parsesSpecial) }
  }
}

extension CalibrationText.Source {
  /// Notes on text whose content was changed on reading.
  var notes: [String] {
    var notes: [String] = []
    if invalidSequences > 0 {
      notes.append("warning: \(name): \(invalidSequences) sequences of bytes are not UTF-8 and are read as U+FFFD")
    }
    if hadCarriageReturns { notes.append("note: \(name): line ends CR LF and CR are read as LF") }
    return notes
  }
}

extension TextOptions {
  /// Reads all texts.
  ///
  /// - Parameter chatTemplate: template that formats conversations.
  func texts(chatTemplate: String?) throws -> [ScoredText] {
    let sources = try CalibrationText(paths: text, chat: ChatFormat(template: chatTemplate)).sources
    let names = Dictionary(grouping: sources, by: \.name)
    var number: [String: Int] = [:]
    return sources.map { source in
      // Files of the same name are numbered, since reports should not contain paths.
      number[source.name, default: 0] += 1
      let name = names[source.name]!.count > 1 ? "\(source.name) (\(number[source.name]!))" : source.name
      let isConversation = source.name.lowercased().contains(".jsonl")
      if source.documents.count == 1, !isConversation {
        let (kind, body) = TextKind.classify(name: source.name, text: source.documents[0])
        return ScoredText(name: name, kind: kind, documents: [body], parsesSpecial: false, notes: source.notes)
      }
      // The extension .jsonl does not determine the kind of plain text.
      let hint = source.holdsConversations ? source.name : source.name.replacing(/\.jsonl/.ignoresCase(), with: "")
      let (kind, _) = TextKind.classify(name: hint, text: source.documents.first ?? "")
      return ScoredText(
        name: name, kind: kind, documents: source.documents, parsesSpecial: isConversation, notes: source.notes)
    }
  }

  /// The windows of all texts for a tokenizer.
  func windows(_ texts: [ScoredText], _ tokenizer: Tokenizer, context: Int? = nil) throws -> ScoringWindows {
    ScoringWindows(
      joining: try texts.map { text in
        try ScoringWindows(
          tokens: text.tokens(tokenizer), context: context ?? ctx ?? Self.defaultContext,
          bos: tokenizer.addsBOS ? tokenizer.bos : nil, stride: stride, limit: chunks, name: text.name, kind: text.kind)
      })
  }
}
