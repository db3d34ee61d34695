import Files
import GGUF
import OrderedCollections

/// The ids of BOS, EOS and similar tokens, and which of them are added to a text.
///
/// The rules are those of llama.cpp's converter: the post-processor of tokenizer.json decides which tokens are added,
/// tokenizer_config.json names the tokens, and config.json supplies missing ids.
struct SpecialRules {
  private var kinds = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]
  private var named: [String: JSONValue] = [:]
  private let hasConfig: Bool
  private(set) var ids: OrderedDictionary<String, Int> = [:]
  private(set) var adds: OrderedDictionary<String, Bool> = [:]
  private var normalizes: OrderedDictionary<String, Bool> = [:]

  /// Whether the files define no BOS.
  private(set) var lacksBOS = false

  /// - Parameters:
  ///   - added: the added tokens, with the ids of named tokens.
  ///   - isAlone: there is a tokenizer.model, but no tokenizer.json.
  ///   - bound: ids from this on are left out; nil means no bound.
  init(
    _ tokenizer: TokenizerJSON?, added: [AddedToken], isAlone: Bool, files: TokenizerFiles, config: Config, bound: Int?
  ) throws {
    hasConfig = files.config?.object?.isEmpty == false
    for kind in kinds { named[kind] = Self.token(files.config?[kind + "_token"]) }
    if let tokenizer {
      if hasConfig {
        named["bos"] = named["bos"] ?? named["cls"]
        named["eos"] = named["eos"] ?? named["sep"]
      }
      if let processor = tokenizer.postProcessor {
        for part in processor["processors"]?.array ?? [processor] { process(part) }
      }
      readNormalizer(tokenizer.normalizer)
    }
    if hasConfig {
      for kind in kinds {
        if let flag = files.config?["add_\(kind)_token"]?.bool, adds[kind] == nil { adds[kind] = flag }
        if !isAlone, let id = namedID(kind, added) { set(kind, id, bound: bound) }
      }
    }
    for kind in kinds {
      let key = kind + "_token_id"
      guard let value = config[key] ?? config["text_config"]?[key], let id = value.int else { continue }
      // Older configurations use -1 for none.
      if id == -1 { continue }
      guard id >= 0 else { throw FormatError(path: config.path, subject: "key \(key)", "is \(id)") }
      set(kind, id, bound: bound)
    }
    // llama.cpp has default ids for these.
    for (kind, preset) in [("bos", 1), ("eos", 2), ("unk", 0)] where ids[kind] == nil {
      if let id = namedID(kind, added), !isAlone || id != preset { set(kind, id, bound: bound) }
    }
    let disablesBOS = files.config?["bos_token"] == .null || config["bos_token_id"]?.int == -1
    lacksBOS = ids["bos"] == nil && namedID("bos", added) == nil && (!isAlone || disablesBOS)
  }

  /// The id of the named token of a kind; nil if none is named or it is not an added token.
  private func namedID(_ kind: String, _ added: [AddedToken]) -> Int? {
    guard let content = named[kind]?.string ?? named[kind]?["content"]?.string else { return nil }
    return added.first { $0.content.utf8.elementsEqual(content.utf8) }?.id
  }

  /// Names tokens that a model's files do not name.
  mutating func add(_ names: [(kind: String, content: String)], _ added: [AddedToken]) {
    for (kind, content) in names {
      if let token = added.first(where: { $0.content == content }) { set(kind, token.id, bound: nil) }
    }
    lacksBOS = lacksBOS && ids["bos"] == nil
  }

  private mutating func set(_ kind: String, _ id: Int, bound: Int?) {
    guard ids[kind] == nil, id < bound ?? Int(Int32.max) else { return }
    ids[kind] = id
  }

  /// The value of a token's key; nil if Python would treat it as false.
  private static func token(_ value: JSONValue?) -> JSONValue? {
    switch value {
    case nil, .null, .bool(false), .string(""): nil
    default: value
    }
  }

  private static func special(_ item: JSONValue?) -> String? {
    guard let id = item?["SpecialToken"]?["id"]?.string, !id.isEmpty else { return nil }
    return id
  }

  private mutating func process(_ part: JSONValue) {
    switch part["type"]?.string {
    case "ByteLevel":
      for kind in ["bos", "eos"] where adds[kind] == nil { adds[kind] = false }
    case "RobertaProcessing":
      for kind in ["bos", "eos", "sep"] { adds[kind] = true }
      guard hasConfig else { return }
      if named["cls"] == nil { named["cls"] = part["cls"]?.array?.first ?? named["bos"] }
      if named["sep"] == nil { named["sep"] = part["sep"]?.array?.first ?? named["eos"] }
    case "TemplateProcessing": processTemplate(part)
    default: break
    }
  }

  private mutating func processTemplate(_ part: JSONValue) {
    let single = part["single"]?.array ?? []
    let first = single.count > 1 ? Self.special(single.first) : nil
    let last = single.count > 1 ? Self.special(single.last) : nil
    if let first {
      if !hasConfig {
        named["bos"] = .string(first)
      } else if named["bos"] != .string(first), named["cls"] != .string(first) {
        if named["bos"] == nil { named["bos"] = .string(first) }
        if named["cls"] == nil { named["cls"] = .string(first) }
      }
      adds["bos"] = named["bos"] == .string(first) || named["cls"] == .string(first)
    }
    if let last {
      if hasConfig, named["eos"] != .string(last), let kind = ["eot", "eom"].first(where: { !kinds.contains($0) }) {
        // The named EOS ends a turn. The token that the template adds ends a text.
        kinds.append(kind)
        named[kind] = named["eos"]
      }
      named["eos"] = .string(last)
      adds["eos"] = true
    }
    processPair(part["pair"]?.array ?? [], first: first, last: last)
  }

  /// Reads the template for a pair of texts, which may have a separator between them.
  private mutating func processPair(_ pair: [JSONValue], first: String?, last: String?) {
    var pair = pair[...]
    if let first, Self.special(pair.first) == first { pair = pair.dropFirst() }
    if let last, Self.special(pair.last) == last { pair = pair.dropLast() }
    guard pair.count > 2, pair.first?["Sequence"]?["id"]?.string == "A",
      pair.last?["Sequence"]?["id"]?.string == "B"
    else { return }
    let inner = Array(pair.dropFirst().dropLast())
    func separates(_ item: JSONValue) -> Bool {
      guard let id = Self.special(item) else { return false }
      return named["sep"] == .string(id) || named["eos"] == .string(id)
    }
    let adds = separates(inner[0]) && last == nil || inner.count == 2 && separates(inner[1])
    self.adds["sep"] = adds
    if adds, hasConfig, named["sep"] == nil { named["sep"] = named["eos"] }
  }

  private mutating func readNormalizer(_ value: JSONValue?) {
    switch value?["type"]?.string {
    case "Lowercase": normalizes["lowercase"] = true
    case "StripAccents": normalizes["strip_accents"] = true
    case "BertNormalizer":
      for key in ["lowercase", "strip_accents"] {
        if let flag = value?[key]?.bool { normalizes[key] = flag }
      }
    case "Sequence": for part in value?["normalizers"]?.array ?? [] { readNormalizer(part) }
    default: break
    }
  }

  /// The GGUF keys, with the chat templates at the position where the converter writes them.
  func metadata(templates: Metadata) -> Metadata {
    let names = [
      "bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding", "mask": "mask", "eot": "eot",
      "eom": "eom",
    ]
    var metadata = Metadata()
    for (kind, id) in ids {
      if let name = names[kind] { metadata["tokenizer.ggml.\(name)_token_id"] = .uint32(UInt32(id)) }
    }
    for (kind, flag) in adds where ["bos", "eos", "sep"].contains(kind) {
      metadata["tokenizer.ggml.add_\(kind)_token"] = .bool(flag)
    }
    if hasConfig { metadata.merge(templates) { $1 } }
    for key in ["lowercase", "strip_accents"] {
      if let flag = normalizes[key] { metadata["tokenizer.ggml.normalizer.\(key)"] = .bool(flag) }
    }
    return metadata
  }
}
