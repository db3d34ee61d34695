import Files

/// The rule by which a SentencePiece tokenizer puts a blank in front of text. Other changes to text are refused:
/// llama.cpp's tokenizer for `tokenizer.ggml.model` "llama" does not change text.
enum BlankPrefix {
  case never
  /// In front of a text that does not begin with an added token.
  case first
  /// In front of a text and behind every added token in it, as in llama.cpp.
  case always

  /// Reads the steps of a tokenizer.json. Accepts those that converters write for Llama and its derivatives.
  init(_ tokenizer: TokenizerJSON, _ base: BaseVocabulary) throws {
    let structure = SplitStructure(tokenizer)
    func unknown(_ key: String) -> FormatError {
      FormatError(
        path: tokenizer.path, subject: "key \(key)",
        "has a structure that llama.cpp's SentencePiece lacks: \(structure.description)",
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
            "splits text at blanks, which llama.cpp does not; it would produce \((token ?? "").debugDescription)")
        }
        let scheme = part["prepend_scheme"]?.string ?? (part["add_prefix_space"]?.bool == false ? "never" : "always")
        switch scheme {
        case "always": prefix = .always
        case "first": prefix = .first
        case "never": break
        default: throw unknown("pre_tokenizer")
        }
      // No blanks remain at this step.
      case "Split" where escapes && part["pattern"]?["String"]?.string == " ": break
      default: throw unknown("pre_tokenizer")
      }
    }
    guard escapes, tokenizer.model["ignore_merges"]?.bool != true else {
      throw unknown(escapes ? "model" : "normalizer")
    }
    self = prefix
  }

  /// Reads tokenizer.model, which decides if there is no tokenizer.json.
  ///
  /// - Parameter legacy: `legacy` of tokenizer_config.json. If false, `transformers` puts a blank only in front of a
  ///   text.
  init(_ model: SentencePieceModel, legacy: Bool?) throws {
    var others: [String] = []
    if let name = model.normalizer { others.append("changes text by the rule \(name)") }
    if model.removesBlanks { others.append("removes extra blanks (remove_extra_whitespaces)") }
    if !model.escapesBlanks { others.append("keeps blanks (escape_whitespaces is false)") }
    if model.isSuffix, model.addsBlank { others.append("puts a blank behind text (treat_whitespace_as_suffix)") }
    guard others.isEmpty else {
      throw FormatError(
        path: model.path, subject: "key normalizer_spec",
        others.joined(separator: ", ") + "; llama.cpp's tokenizer does not change text",
        hint: "a tokenizer.json beside it decides instead: the one that transformers writes for Llama has no such steps"
      )
    }
    guard model.fallsBackToBytes else {
      throw FormatError(
        path: model.path, subject: "key trainer_spec.byte_fallback",
        "is false; llama.cpp aborts at a character without a token")
    }
    self = !model.addsBlank ? .never : legacy == false ? .first : .always
  }

  /// Whether a token has a blank behind its first character.
  private static func spansWords(_ token: String) -> Bool { token.unicodeScalars.dropFirst().contains("\u{2581}") }
}
