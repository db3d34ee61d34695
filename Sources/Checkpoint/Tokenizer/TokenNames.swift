import Files

/// The tokens that tokenizer_config.json and special_tokens_map.json name without giving them ids, in the order in which
/// `transformers` adds those that no vocabulary has.
struct TokenNames {
  /// The file that names it, whose words it is.
  typealias Name = (content: String, path: String)

  /// BOS, EOS and their like: special in any case.
  private(set) var kinds: [Name] = []
  /// Other keys that end in `_token`, then `extra_special_tokens` or `additional_special_tokens`: special where no file
  /// says otherwise.
  private(set) var others: [Name] = []

  /// - Parameter defaults: what the tokenizer's class calls tokens that the files do not mention.
  init(_ files: TokenizerFiles, defaults: [String: String] = [:]) throws {
    var members = files.config == nil ? [] : try Self.members(files.configPath)
    if !files.listsAddedTokens, let path = files.path("special_tokens_map.json") {
      // Where both name a token of a kind, this file is believed.
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

  /// A token is a string or an object; an empty string is none.
  private static func content(_ value: JSONValue) -> String? {
    let content = value.string ?? value["content"]?.string
    return content?.isEmpty == false ? content : nil
  }

  /// The members of a file's object in their order; those of `extra_special_tokens`, where that is an object, are keys of
  /// their own.
  private static func members(_ path: String) throws -> [Member] {
    var scanner = try JSONScanner(path: path, limit: 64 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw FormatError(path: path, "is no JSON object") }
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
