import Files

/// tokenizer.json, the file of the `tokenizers` package. It is read in one pass, and its vocabulary without a tree.
struct TokenizerJSON {
  let path: String
  /// The model's fields without vocabulary and merges.
  private(set) var model: [String: JSONValue] = [:]
  private var hasMerges = false
  private var hasVocabularyList = false
  /// Tokens and ids in file order; empty if the vocabulary is not an object.
  private(set) var vocabulary: [(token: String, id: Int)] = []
  /// The pairs of parts to merge, in the order of rank.
  private(set) var merges: [(left: String, right: String)] = []
  /// The file with the merges.
  let mergesPath: String
  private(set) var added: [AddedToken] = []
  private(set) var normalizer: JSONValue?
  private(set) var preTokenizer: JSONValue?
  private(set) var postProcessor: JSONValue?
  private(set) var decoder: JSONValue?

  init(path: String) throws {
    self.path = path
    mergesPath = path
    var scanner = try JSONScanner(path: path, limit: 256 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw FormatError(path: path, "is not a JSON object") }
    try scanner.object { key, scanner in
      switch key {
      case "model" where scanner.peek() == UInt8(ascii: "{"): try readModel(&scanner)
      case "added_tokens": try readAdded(try scanner.value())
      case "normalizer": normalizer = Self.nonNull(try scanner.value())
      case "pre_tokenizer": preTokenizer = Self.nonNull(try scanner.value())
      case "post_processor": postProcessor = Self.nonNull(try scanner.value())
      case "decoder": decoder = Self.nonNull(try scanner.value())
      default: try scanner.skip()
      }
    }
    try scanner.end()
  }

  private static func nonNull(_ value: JSONValue) -> JSONValue? { value == .null ? nil : value }

  private mutating func readModel(_ scanner: inout JSONScanner) throws {
    try scanner.object { key, scanner in
      switch (key, scanner.peek()) {
      case ("vocab", UInt8(ascii: "{")): try readVocabulary(&scanner)
      case ("vocab", let first):
        hasVocabularyList = first == UInt8(ascii: "[")
        try scanner.skip()
      case ("merges", UInt8(ascii: "[")):
        hasMerges = true
        try scanner.array { try readMerge(&$0) }
      default: model[key] = try scanner.value()
      }
    }
  }

  private mutating func readVocabulary(_ scanner: inout JSONScanner) throws {
    try scanner.object { token, scanner in
      guard let id = try scanner.value().int, (0...Int(Int32.max)).contains(id) else {
        throw FormatError(path: path, subject: "token \(token.debugDescription)", "has no valid id")
      }
      vocabulary.append((token, id))
    }
  }

  /// Creates a byte-level tokenizer from a vocab.json and its merges.
  ///
  /// - Parameter fields: the model's fields without vocabulary and merges.
  init(
    vocabularyPath path: String, mergesPath: String, merges: [(left: String, right: String)], normalizer: JSONValue?,
    preTokenizer: JSONValue?, fields: [String: JSONValue]
  ) throws {
    self.path = path
    self.merges = merges
    self.mergesPath = mergesPath
    var scanner = try JSONScanner(path: path, limit: 256 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw FormatError(path: path, "is not a JSON object") }
    try readVocabulary(&scanner)
    try scanner.end()
    self.normalizer = normalizer
    self.preTokenizer = preTokenizer
    decoder = .object(["type": .string("ByteLevel")])
    model = fields.merging(["type": .string("BPE")]) { $1 }
  }

  /// Creates a byte-level tokenizer of given tokens and merges.
  init(
    path: String, vocabulary: [(token: String, id: Int)], merges: [(left: String, right: String)],
    added: [AddedToken]
  ) {
    self.path = path
    mergesPath = path
    self.vocabulary = vocabulary
    self.merges = merges
    self.added = added
    decoder = .object(["type": .string("ByteLevel")])
    model = ["type": .string("BPE"), "ignore_merges": .bool(false)]
  }

  /// Reads a merge: an array or, in older files, two parts separated by a blank.
  private mutating func readMerge(_ scanner: inout JSONScanner) throws {
    var parts: [String] = []
    if scanner.peek() == UInt8(ascii: "[") {
      try scanner.array { scanner in parts.append(try scanner.string()) }
    } else if scanner.peek() == UInt8(ascii: "\"") {
      let text = try scanner.string()
      if text.hasPrefix("#version") { return }
      // The first part may begin with a blank.
      if let blank = text.utf8.dropFirst().firstIndex(of: 0x20) {
        parts = [String(text[..<blank]), String(text[text.utf8.index(after: blank)...])]
      }
    } else {
      try scanner.skip()
    }
    guard parts.count == 2 else {
      throw FormatError(path: path, subject: "merge number \(merges.count)", "is not a pair of tokens")
    }
    merges.append((parts[0], parts[1]))
  }

  private mutating func readAdded(_ value: JSONValue) throws {
    guard value != .null else { return }
    guard let entries = value.array else {
      throw FormatError(path: path, subject: "key added_tokens", "is not an array")
    }
    for entry in entries {
      guard let id = entry["id"]?.int, (0...Int(Int32.max)).contains(id), let token = AddedToken(entry, id: id) else {
        throw FormatError(path: path, subject: "key added_tokens", "holds an entry without content or a valid id")
      }
      added.append(token)
    }
  }

  /// The model's kind. Files of `tokenizers` before 0.9 do not name it. The package infers it from the fields, in this
  /// order.
  var kind: String? {
    if let type = model["type"], type != .null { return type.string }
    if !vocabulary.isEmpty {
      return hasMerges ? "BPE" : model["max_input_chars_per_word"] != nil ? "WordPiece" : "WordLevel"
    }
    return hasVocabularyList ? "Unigram" : nil
  }

  /// Whether the model is byte-pair encoding with byte tokens as fallback, that is a converted SentencePiece model.
  var isSentencePiece: Bool {
    kind == "BPE" && model["byte_fallback"]?.bool == true && decoder?["type"]?.string == "Sequence"
  }
}
