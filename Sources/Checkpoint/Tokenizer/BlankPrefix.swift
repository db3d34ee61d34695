import Files

/// Where a SentencePiece tokenizer puts a blank in front of text. Everything else that it may do to text is refused:
/// llama.cpp's tokenizer of models called `llama` takes text as it is.
enum BlankPrefix {
  case never
  /// In front of a text that does not begin with a token of its own.
  case first
  /// In front of a text and behind every token that is found in it: llama.cpp's way.
  case always

  /// From the steps of a tokenizer.json. Known are those that converters write for Llama's kin.
  init(_ tokenizer: TokenizerJSON, _ base: BaseVocabulary) throws {
    let structure = SplitStructure(tokenizer)
    func unknown(_ key: String) -> FormatError {
      FormatError(
        path: tokenizer.path, subject: "key \(key)",
        "has a structure that llama.cpp's SentencePiece has not: \(structure.description)",
        hint: "known: blanks become U+2581, and one goes in front of text (Prepend or Metaspace)")
    }
    var prefix = Self.never
    var escapes = false
    for part in structure.normalizers {
      switch part["type"]?.string {
      case "Prepend" where part["prepend"]?.string == "\u{2581}": prefix = .always
      case "Replace" where part["pattern"]?["String"]?.string == " " && part["content"]?.string == "\u{2581}":
        escapes = true
      // A text that begins with U+2581 gets another one, as in SentencePiece.
      case "Replace" where part["pattern"]?["Regex"]?.string == #"\A▁"# && part["content"]?.string == "▁▁": break
      default: throw unknown("normalizer")
      }
    }
    for part in structure.parts {
      switch part["type"]?.string {
      case "Metaspace" where part["replacement"]?.string == "\u{2581}":
        escapes = true
        let splits = part["split"]?.bool ?? true
        if splits, let token = base.tokens.first(where: { $0.map(Self.spansWords) ?? false }) {
          throw FormatError(
            path: tokenizer.path, subject: "key pre_tokenizer",
            "splits text at blanks, which llama.cpp does not: it would give \((token ?? "").debugDescription)")
        }
        let scheme = part["prepend_scheme"]?.string ?? (part["add_prefix_space"]?.bool == false ? "never" : "always")
        switch scheme {
        case "always": prefix = .always
        case "first": prefix = .first
        case "never": break
        default: throw unknown("pre_tokenizer")
        }
      // Blanks are gone by then.
      case "Split" where escapes && part["pattern"]?["String"]?.string == " ": break
      default: throw unknown("pre_tokenizer")
      }
    }
    guard escapes, tokenizer.model["ignore_merges"]?.bool != true else {
      throw unknown(escapes ? "model" : "normalizer")
    }
    self = prefix
  }

  /// From tokenizer.model, which has the say where there is no tokenizer.json.
  ///
  /// - Parameter legacy: tokenizer_config.json's; `transformers` puts the blank in front of a text alone where it is false.
  init(_ model: SentencePieceModel, legacy: Bool?) throws {
    var others: [String] = []
    if let name = model.normalizer { others.append("changes text by the rule \(name)") }
    if model.removesBlanks { others.append("removes extra blanks (remove_extra_whitespaces)") }
    if !model.escapesBlanks { others.append("keeps blanks (escape_whitespaces is false)") }
    if model.isSuffix, model.addsBlank { others.append("puts a blank behind text (treat_whitespace_as_suffix)") }
    guard others.isEmpty else {
      throw FormatError(
        path: model.path, subject: "key normalizer_spec",
        others.joined(separator: ", ") + "; llama.cpp's tokenizer takes text as it is",
        hint: "a tokenizer.json beside it decides instead: that which transformers writes for Llama has no such steps")
    }
    guard model.fallsBackToBytes else {
      throw FormatError(
        path: model.path, subject: "key trainer_spec.byte_fallback",
        "is false; llama.cpp ends at a character that has no token")
    }
    self = !model.addsBlank ? .never : legacy == false ? .first : .always
  }

  /// Whether a token has a blank behind its first character.
  private static func spansWords(_ token: String) -> Bool { token.unicodeScalars.dropFirst().contains("\u{2581}") }
}
