/// tokenizer.json, the form of the `tokenizers` package: read in one pass, the vocabulary without a tree.
struct TokenizerJSON {
  struct AddedToken {
    let content: String
    let id: Int
    var isSpecial: Bool
    var isNormalized: Bool
  }

  let path: String
  /// The model's fields beside its vocabulary and merges.
  private(set) var model: [String: JSONValue] = [:]
  /// Tokens and ids in file order; empty where the model's vocabulary is of another form.
  private(set) var vocabulary: [(token: String, id: Int)] = []
  /// Pairs, each of two parts.
  private(set) var merges: [(left: String, right: String)] = []
  private(set) var added: [AddedToken] = []
  private(set) var normalizer: JSONValue?
  private(set) var preTokenizer: JSONValue?
  private(set) var postProcessor: JSONValue?
  private(set) var decoder: JSONValue?

  init(path: String) throws {
    self.path = path
    var scanner = try JSONScanner(path: path, limit: 256 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw CheckpointError(path: path, "is no JSON object") }
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
      case ("vocab", UInt8(ascii: "{")):
        try scanner.object { token, scanner in
          guard let id = try scanner.value().int, (0...Int(Int32.max)).contains(id) else {
            throw CheckpointError(path: path, subject: "token \(token.debugDescription)", "has no valid id")
          }
          vocabulary.append((token, id))
        }
      case ("vocab", _): try scanner.skip()
      case ("merges", UInt8(ascii: "[")): try scanner.array { try readMerge(&$0) }
      default: model[key] = try scanner.value()
      }
    }
  }

  /// A pair is an array or, in older files, two parts with a blank between them.
  private mutating func readMerge(_ scanner: inout JSONScanner) throws {
    var parts: [String] = []
    if scanner.peek() == UInt8(ascii: "[") {
      try scanner.array { scanner in parts.append(try scanner.string()) }
    } else if scanner.peek() == UInt8(ascii: "\"") {
      let text = try scanner.string()
      // A part may begin with a blank of its own.
      if let blank = text.utf8.dropFirst().firstIndex(of: 0x20) {
        parts = [String(text[..<blank]), String(text[text.utf8.index(after: blank)...])]
      }
    } else {
      try scanner.skip()
    }
    guard parts.count == 2 else {
      throw CheckpointError(path: path, subject: "merge number \(merges.count)", "is no pair of tokens")
    }
    merges.append((parts[0], parts[1]))
  }

  private mutating func readAdded(_ value: JSONValue) throws {
    guard value != .null else { return }
    guard let entries = value.array else {
      throw CheckpointError(path: path, subject: "key added_tokens", "is no array")
    }
    for entry in entries {
      guard let content = entry["content"]?.string, let id = entry["id"]?.int, (0...Int(Int32.max)).contains(id) else {
        throw CheckpointError(path: path, subject: "key added_tokens", "holds an entry without content or valid id")
      }
      added.append(
        AddedToken(
          content: content, id: id, isSpecial: entry["special"]?.bool ?? false,
          isNormalized: entry["normalized"]?.bool ?? true))
    }
  }

  /// tokenizer_config.json may say otherwise of tokens that were added, and is believed.
  mutating func update(added entries: [AddedToken]) {
    let changes = Dictionary(entries.map { ($0.content, $0) }) { $1 }
    for index in added.indices {
      guard let change = changes[added[index].content] else { continue }
      added[index].isSpecial = change.isSpecial
      added[index].isNormalized = change.isNormalized
    }
  }

  /// Tokens that tokenizer_config.json gives a part (BOS, EOS and their like) are special, whether or not tokenizer.json
  /// lists them among those that were added.
  mutating func update(named names: [String]) {
    let named = Set(names.map { Array($0.utf8) })
    for index in added.indices where named.contains(Array(added[index].content.utf8)) { added[index].isSpecial = true }
    let missing = named.subtracting(added.map { Array($0.content.utf8) })
    guard !missing.isEmpty else { return }
    for (token, id) in vocabulary where missing.contains(Array(token.utf8)) {
      added.append(AddedToken(content: token, id: id, isSpecial: true, isNormalized: false))
    }
  }

  /// Whether the model is byte-pair encoding that falls back to byte tokens: SentencePiece's, written as JSON.
  var isSentencePiece: Bool {
    model["type"]?.string == "BPE" && model["byte_fallback"]?.bool == true && decoder?["type"]?.string == "Sequence"
  }
}
