import Files

/// The tokens that tokenizer_config.json and special_tokens_map.json name without ids, in the order in which
/// `transformers` adds those that are not in the vocabulary.
struct TokenNames {
  /// A token, and the file that names it.
  typealias Name = (content: String, path: String)

  /// BOS, EOS and similar tokens: always special.
  private(set) var kinds: [Name] = []
  /// Other keys that end in `_token`, then `extra_special_tokens` or `additional_special_tokens`: special unless a file
  /// says otherwise.
  private(set) var others: [Name] = []

  /// - Parameter defaults: the special tokens of the tokenizer's class, by kind, for those that the files do not
  ///   mention.
  init(_ files: TokenizerFiles, defaults: [String: String] = [:]) throws {
    var members = files.config == nil ? [] : try Self.members(files.configPath)
    if !files.listsAddedTokens, let path = files.path("special_tokens_map.json") {
      // This file has precedence.
      for member in try Self.members(path) {
        if let index = members.firstIndex(where: { $0.key == member.key && !member.key.hasSuffix("tokens") }) {
          members[index] = member
        } else {
          members.append(member)
        }
      }
    }
    for kind in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] {
      let key = kind + "_token"
      if let member = members.first(where: { $0.key == key }) {
        if let content = Self.content(member.value) { kinds.append((content, member.path)) }
      } else if let content = defaults[kind] {
        kinds.append((content, files.configPath))
      }
    }
    for member in members where member.key.hasSuffix("_token") && !Self.isKind(member.key) {
      if let content = member.value.string { others.append((content, member.path)) }
    }
    for member in members where ["extra_special_tokens", "additional_special_tokens"].contains(member.key) {
      for value in member.value.array ?? [] {
        if let content = Self.content(value) { others.append((content, member.path)) }
      }
    }
  }

  private struct Member {
    let key: String
    let value: JSONValue
    let path: String
  }

  private static func isKind(_ key: String) -> Bool {
    ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].contains { key == $0 + "_token" }
  }

  /// The content of a token that is a string or an object; nil if it is empty.
  private static func content(_ value: JSONValue) -> String? {
    let content = value.string ?? value["content"]?.string
    return content?.isEmpty == false ? content : nil
  }

  /// The members of a file's object in their order. Members of an object `extra_special_tokens` are treated as keys of
  /// the file.
  private static func members(_ path: String) throws -> [Member] {
    var scanner = try JSONScanner(path: path, limit: 64 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw FormatError(path: path, "is not a JSON object") }
    var members: [Member] = []
    try scanner.object { key, scanner in
      if key == "extra_special_tokens", scanner.peek() == UInt8(ascii: "{") {
        try scanner.object { key, scanner in
          let key = key.hasSuffix("_token") ? key : key + "_token"
          members.append(Member(key: key, value: try scanner.value(), path: path))
        }
      } else {
        members.append(Member(key: key, value: try scanner.value(), path: path))
      }
    }
    return members
  }
}
