import Files
import Tokenizers

/// The tokens that a directory's files add to a vocabulary, by one rule for every kind of tokenizer.
///
/// Files, the one that decides first:
/// 1. tokenizer.json, `added_tokens`
/// 2. tokenizer_config.json, `added_tokens_decoder`
/// 3. added_tokens.json
/// 4. the names in tokenizer_config.json and, where that lists no `added_tokens_decoder`, in special_tokens_map.json:
///    `bos_token` and its like, other keys in `_token`, `extra_special_tokens`, `additional_special_tokens`
///
/// - A token keeps the id that the vocabulary or else the first file gives it. Where a later file gives another, that is
///   noted: `transformers` goes by the same order.
/// - A token of 4 that no file gives an id follows the largest id, as in `transformers`. That is noted.
/// - The flags are those of `added_tokens_decoder`, else of tokenizer.json. What 4 calls BOS, EOS and the like is special;
///   so are its other tokens unless 1 or 2 hold them.
/// - Two tokens for one id are refused. There are two exceptions: a file may rename a piece of tokenizer.model that text
///   never gives, and added_tokens.json gives way where there is an `added_tokens_decoder`. Both are noted.
/// - Tokens whose id is beyond the model's vocabulary are left out, which is noted.
struct AddedTokens {
  private(set) var tokens: [AddedToken] = []
  private(set) var notes: [String] = []

  private let base: BaseVocabulary
  private let renames: (Int) -> Bool
  /// Indices into ``tokens`` by content and by id, and the file that each is from.
  private var indices = ByteTable()
  private var slots: [Int: Int] = [:]
  private var paths: [String] = []

  /// - Parameters:
  ///   - listed: tokenizer.json's.
  ///   - defaults: how the tokenizer's class names tokens.
  ///   - renames: whether another token may take a vocabulary's id.
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
      try add(token, from: files.directory + "/added_tokens.json", givesWay: files.listsAddedTokens)
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

  /// The largest id, of the vocabulary or of an added token; -1 where there is none.
  var largestID: Int { max(base.tokens.count - 1, tokens.map(\.id).max() ?? -1) }

  private func index(of content: String) -> Int? { indices.value(of: Array(content.utf8)).map(Int.init) }

  private mutating func append(_ token: AddedToken, from path: String) {
    indices.insert(Array(token.content.utf8), value: Int32(tokens.count))
    slots[token.id] = tokens.count
    tokens.append(token)
    paths.append(path)
  }

  /// - Parameter givesWay: whether the file is passed over where it contradicts others.
  private mutating func add(_ token: AddedToken, from path: String, givesWay: Bool = false) throws {
    guard !token.content.isEmpty else { return }
    let subject = "token \(token.content.debugDescription)"
    let earlier = index(of: token.content)
    if let id = earlier.map({ tokens[$0].id }) ?? base.id(of: token.content) {
      let holder = earlier.map { paths[$0] } ?? base.path
      if id != token.id {
        guard holder != path else {
          throw FormatError(path: path, subject: subject, "stands twice: it has ids \(id) and \(token.id)")
        }
        notes.append("\(path): \(subject) has id \(token.id), but \(id) in \(Self.name(holder)), which is believed")
      }
      guard earlier == nil else { return }
      var token = token
      token.id = id
      return append(token, from: path)
    }
    if let index = slots[token.id] {
      let reason = "has id \(token.id), as has \(tokens[index].content.debugDescription)"
      guard !givesWay else {
        notes.append("\(path): \(subject) \(reason) in \(Self.name(paths[index])), which is believed; it is left out")
        return
      }
      throw contradiction(path, subject, reason, paths[index])
    }
    if let piece = base[token.id] {
      let reason = "has id \(token.id), as has \(piece.debugDescription)"
      guard renames(token.id) else { throw contradiction(path, subject, reason, base.path) }
      notes.append(
        "\(path): \(subject) takes the place of \(piece.debugDescription), id \(token.id); `transformers` 5 would number it "
          + "\(base.count)")
    } else if givesWay {
      notes.append(
        "\(path): \(subject) is in no other file; it is kept with id \(token.id), where `transformers` 5 leaves it out")
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

  /// The index of a token that is only named.
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

  /// `transformers` and `tokenizers` pass over the ids of tokens that no vocabulary has, and number them in order.
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
      "\(base.path): llama.cpp has no lstrip, rstrip and single_word; it takes \(list) wherever they occur, and leaves "
        + "the blanks around them")
  }

  /// Keeps the tokens that have a row of the embedding.
  ///
  /// - Parameter size: config.json's; without one, the largest id decides.
  /// - Returns: the number of rows.
  mutating func limit(to size: Int?) throws -> Int {
    let count = size ?? largestID + 1
    // Ids are then all that bounds what is allocated.
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
