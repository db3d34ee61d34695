import Files
import Tokenizers

/// The tokens that a directory's files add to a vocabulary. One rule applies to every kind of tokenizer.
///
/// Files, in the order of precedence:
/// 1. tokenizer.json, `added_tokens`
/// 2. tokenizer_config.json, `added_tokens_decoder`
/// 3. added_tokens.json
/// 4. the names in tokenizer_config.json and, where that lists no `added_tokens_decoder`, in special_tokens_map.json:
///    `bos_token` and its like, other keys in `_token`, `extra_special_tokens`, `additional_special_tokens`
///
/// - A token has the id of the vocabulary, or else of the first file, as in `transformers`. A different id in a later
///   file gives a note.
/// - A token of 4 without an id gets the id after the largest one, as in `transformers`, and a note.
/// - The flags are those of `added_tokens_decoder`, else of tokenizer.json. BOS, EOS and the like of 4 are special; the
///   other tokens of 4 are special unless 1 or 2 list them.
/// - Two tokens with one id are refused, with two exceptions that give a note: a file may rename a piece of
///   tokenizer.model that text never produces, and added_tokens.json is ignored if it contradicts an
///   `added_tokens_decoder`.
/// - Tokens whose id is beyond the model's vocabulary are left out, with a note.
struct AddedTokens {
  private(set) var tokens: [AddedToken] = []
  private(set) var notes: [String] = []

  private let base: BaseVocabulary
  private let renames: (Int) -> Bool
  /// Indices into ``tokens`` by content and by id, and the file of each token.
  private var indices = ByteTable()
  private var slots: [Int: Int] = [:]
  private var paths: [String] = []

  /// - Parameters:
  ///   - listed: the added tokens of tokenizer.json.
  ///   - defaults: the special tokens of the tokenizer's class, by kind.
  ///   - renames: whether an added token may replace the vocabulary's token of this id.
  init(
    to base: BaseVocabulary, listed: [AddedToken], _ files: TokenizerFiles, defaults: [String: String] = [:],
    renames: @escaping (Int) -> Bool = { _ in false }
  ) throws {
    self.base = base
    self.renames = renames
    for token in listed { try add(token, from: base.path) }
    for token in try files.addedTokensDecoder() {
      try add(token, from: files.configPath)
      if let index = index(of: token.content) {
        tokens[index].isSpecial = token.isSpecial
        tokens[index].isNormalized = token.isNormalized
        tokens[index].looksAround = token.looksAround
      }
    }
    for token in try files.addedTokens() {
      try add(token, from: files.directory + "/added_tokens.json", isOptional: files.listsAddedTokens)
    }
    noteNumbering()
    let names = try TokenNames(files, defaults: defaults)
    for name in names.kinds { tokens[add(name)].isSpecial = true }
    for name in names.others {
      let index = add(name)
      // added_tokens.json has no flags.
      if paths[index].hasSuffix("/added_tokens.json") { tokens[index].isSpecial = true }
    }
    noteFlags()
  }

  /// The largest id of the vocabulary and the added tokens; -1 if there is none.
  var largestID: Int { max(base.tokens.count - 1, tokens.map(\.id).max() ?? -1) }

  private func index(of content: String) -> Int? { indices.value(of: Array(content.utf8)).map(Int.init) }

  private mutating func append(_ token: AddedToken, from path: String) {
    indices.insert(Array(token.content.utf8), value: Int32(tokens.count))
    slots[token.id] = tokens.count
    tokens.append(token)
    paths.append(path)
  }

  /// - Parameter isOptional: whether the token is left out if it contradicts other files.
  private mutating func add(_ token: AddedToken, from path: String, isOptional: Bool = false) throws {
    guard !token.content.isEmpty else { return }
    let subject = "token \(token.content.debugDescription)"
    let earlier = index(of: token.content)
    if let id = earlier.map({ tokens[$0].id }) ?? base.id(of: token.content) {
      let holder = earlier.map { paths[$0] } ?? base.path
      if id != token.id {
        guard holder != path else {
          throw FormatError(path: path, subject: subject, "appears twice, with ids \(id) and \(token.id)")
        }
        notes.append("\(path): \(subject) has id \(token.id), but \(id) in \(Self.name(holder)), which is used")
      }
      guard earlier == nil else { return }
      var token = token
      token.id = id
      return append(token, from: path)
    }
    if let index = slots[token.id] {
      let reason = "has id \(token.id), as has \(tokens[index].content.debugDescription)"
      guard !isOptional else {
        notes.append(
          "\(path): \(subject) \(reason) in \(Self.name(paths[index])), which is used; the token is left out")
        return
      }
      throw contradiction(path, subject, reason, paths[index])
    }
    if let piece = base[token.id] {
      let reason = "has id \(token.id), as has \(piece.debugDescription)"
      guard renames(token.id) else { throw contradiction(path, subject, reason, base.path) }
      notes.append(
        "\(path): \(subject) replaces \(piece.debugDescription), id \(token.id); `transformers` 5 would number it "
          + "\(base.count)")
    } else if isOptional {
      notes.append(
        "\(path): \(subject) is in no other file; it is kept with id \(token.id), but `transformers` 5 leaves it out")
    }
    append(token, from: path)
  }

  private func contradiction(
    _ path: String, _ subject: String, _ reason: String, _ holder: String
  ) -> FormatError {
    guard holder != path else { return FormatError(path: path, subject: subject, reason) }
    return FormatError(
      path: path, subject: subject, reason + " in \(Self.name(holder))", hint: "make the two files agree")
  }

  /// Adds a token that is only named, and returns its index.
  private mutating func add(_ name: TokenNames.Name) -> Int {
    if let index = index(of: name.content) { return index }
    var token = AddedToken(name.content, id: 0, isSpecial: true, isNormalized: false)
    token.isListed = false
    if let id = base.id(of: name.content) {
      token.id = id
    } else {
      token.id = largestID + 1
      notes.append(
        "\(name.path): no file gives token \(name.content.debugDescription) an id; it gets \(token.id), as in "
          + "`transformers`")
    }
    append(token, from: name.path)
    return tokens.count - 1
  }

  private static func name(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }

  /// `transformers` and `tokenizers` ignore the ids of tokens that are not in the vocabulary, and number them in order.
  private mutating func noteNumbering() {
    var next = base.count
    for (token, path) in zip(tokens, paths) where base.id(of: token.content) == nil && base[token.id] == nil {
      if token.id != next {
        notes.append(
          "\(path): token \(token.content.debugDescription) has id \(token.id), which is kept; `transformers` would number "
            + "it \(next)")
        return
      }
      next += 1
    }
  }

  private mutating func noteFlags() {
    let marked = tokens.filter(\.looksAround).map(\.content.debugDescription)
    guard !marked.isEmpty else { return }
    let list = marked.prefix(3).joined(separator: ", ") + (marked.count > 3 ? " and \(marked.count - 3) more" : "")
    notes.append(
      "\(base.path): llama.cpp has no lstrip, rstrip and single_word; it finds \(list) anywhere, and keeps "
        + "the blanks around them")
  }

  /// Removes the tokens without a row of the embedding.
  ///
  /// - Parameter size: the size of the vocabulary in config.json; nil means the largest id + 1.
  /// - Returns: the number of rows.
  mutating func limit(to size: Int?) throws -> Int {
    let count = size ?? largestID + 1
    // Bounds the memory for tokens.
    guard count <= 1 << 24 else { throw FormatError(path: base.path, "gives a token the id \(count - 1)") }
    for (token, path) in zip(tokens, paths) where token.id >= count && base.id(of: token.content) == nil {
      notes.append(
        "\(path): token \(token.content.debugDescription) is left out: its id \(token.id) is beyond config.json's vocabulary "
          + "of \(count)")
    }
    tokens.removeAll { $0.id >= count }
    return count
  }
}
