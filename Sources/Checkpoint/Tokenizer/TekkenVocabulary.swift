import Files
import Foundation
import GGUF
import Tokenizers

/// tekken.json, Mistral's tokenizer: byte-level tokens by rank, behind a number of special tokens.
///
/// - The id of a token is its rank plus the number of special tokens. The file may list more tokens than are used.
/// - Special tokens that are reserved but not defined are named `<SPECIAL_N>`. Files up to version 7 define none, and have
///   a fixed list.
/// - The file lists no merges. All pairs of tokens that make a token are its merges, in the order of their ranks.
struct TekkenVocabulary {
  let metadata: Metadata
  let notes: [String]

  /// - Parameters:
  ///   - size: the model's number of tokens; nil for that of the file.
  ///   - pre: llama.cpp's name of the splitter; nil to recognise it by its pattern.
  init(path: String, size: Int?, pre: String?) throws {
    let file = try TekkenFile(path: path, maximumCount: size)
    let name = try Self.splitter(file, pre: pre)
    var list = TokenList(count: size ?? file.special.count + file.tokens.count)
    for (id, token) in file.special.enumerated() { list.set(id, token, .control) }
    for (rank, token) in file.tokens.enumerated() {
      list.set(file.special.count + rank, ByteAlphabet.text(of: token[...]), .normal)
    }
    try list.check(path: path)
    func id(_ token: String) -> UInt32? { file.special.firstIndex(of: token).map(UInt32.init) }
    guard let bos = id("<s>"), let eos = id("</s>") else {
      throw FormatError(path: path, subject: "key special_tokens", "lacks <s> or </s>")
    }
    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("gpt2"),
      "tokenizer.ggml.pre": .string(name),
      "tokenizer.ggml.merges": .array(.string(try Self.merges(file).map(BytePairVocabulary.line))),
      "tokenizer.ggml.bos_token_id": .uint32(bos),
      "tokenizer.ggml.eos_token_id": .uint32(eos),
    ]
    if let unknown = id("<unk>") { metadata["tokenizer.ggml.unknown_token_id"] = .uint32(unknown) }
    metadata["tokenizer.ggml.padding_token_id"] = .uint32(id("<pad>") ?? eos)
    metadata["tokenizer.ggml.tokens"] = .array(.string(list.texts()))
    metadata["tokenizer.ggml.scores"] = .array(.int32([Int32](repeating: 0, count: list.count)))
    metadata["tokenizer.ggml.token_type"] = list.typeValue
    metadata["tokenizer.ggml.add_bos_token"] = .bool(true)
    metadata["tokenizer.ggml.add_eos_token"] = .bool(false)
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let templates = try ChatTemplate(try TokenizerFiles(directory: directory)).metadata
    metadata.merge(templates) { $1 }
    self.metadata = metadata
    notes = templates.isEmpty ? ["\(path): no chat_template.jinja is beside it, and no chat template is written"] : []
  }

  private static func splitter(_ file: TekkenFile, pre: String?) throws -> String {
    func failure(_ subject: String, _ reason: String, topic: FormatError.Topic) -> FormatError {
      FormatError(
        topic: topic, path: file.path, subject: subject, reason,
        hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
    }
    if let pre {
      guard PreTokenizer(name: pre) != nil else {
        throw failure("splitter \(pre)", "is unknown", topic: .misnamedSplitter)
      }
      return pre
    }
    let steps: [SplitStep] = [.split(SplitStructure.canonical(file.pattern)), .byteLevel(regex: false)]
    guard let splitter = Splitter(steps: steps), let name = PreTokenizer.name(for: splitter, ignoresMerges: true) else {
      throw failure("key config.pattern", "is unknown: \(file.pattern.prefix(240))", topic: .unknownSplitter)
    }
    return name
  }

  private static func merges(_ file: TekkenFile) throws -> [(left: String, right: String)] {
    var merges: [(left: String, right: String)] = []
    for (rank, token) in file.tokens.enumerated().dropFirst(256) {
      let pairs = (1..<max(token.count, 1)).compactMap { middle -> (left: Int32, right: Int32, middle: Int)? in
        guard let left = file.ranks.value(of: token, in: 0..<middle),
          let right = file.ranks.value(of: token, in: middle..<token.count)
        else { return nil }
        return (left, right, middle)
      }
      guard !pairs.isEmpty else {
        throw FormatError(path: file.path, subject: "token of rank \(rank)", "is not made of two other tokens")
      }
      for pair in pairs.sorted(by: { ($0.left, $0.right) < ($1.left, $1.right) }) {
        merges.append((ByteAlphabet.text(of: token[..<pair.middle]), ByteAlphabet.text(of: token[pair.middle...])))
      }
    }
    return merges
  }
}

/// The content of a tekken.json.
private struct TekkenFile {
  let path: String
  /// The bytes of the tokens that are used, by rank.
  private(set) var tokens: [[UInt8]] = []
  private(set) var ranks = ByteTable()
  /// The special tokens, with the reserved ones.
  private(set) var special: [String] = []
  private(set) var pattern = ""

  /// Bytes of a token. Published ones have up to some hundreds; finding the merges of a token takes the square of its length.
  private static let maximumLength = 4096

  /// - Parameter maximumCount: the model's number of tokens; nil for no bound.
  init(path: String, maximumCount: Int?) throws {
    self.path = path
    var config = JSONValue.null
    var defined: [JSONValue]?
    var all: [[UInt8]] = []
    var scanner = try JSONScanner(path: path, limit: 256 << 20)
    guard scanner.peek() == UInt8(ascii: "{") else { throw FormatError(path: path, "is not a JSON object") }
    try scanner.object { key, scanner in
      switch (key, scanner.peek()) {
      case ("config", _): config = try scanner.value()
      case ("special_tokens", UInt8(ascii: "[")): defined = try scanner.value().array
      case ("vocab", UInt8(ascii: "[")): try scanner.array { all.append(try token($0.value(), rank: all.count)) }
      default: try scanner.skip()
      }
    }
    try scanner.end()
    func count(_ key: String) throws -> Int {
      guard let value = config[key]?.int, (1...1 << 24).contains(value) else {
        throw FormatError(
          path: path, subject: "key config.\(key)",
          config[key].map { "is \($0.text), not a number of tokens" } ?? "is missing")
      }
      return value
    }
    let reserved = try count("default_num_special_tokens")
    let used = try count("default_vocab_size") - reserved
    guard used >= 256, used <= all.count else {
      throw FormatError(
        path: path, subject: "key config.default_vocab_size",
        "asks for \(used) tokens beside the special ones, and the file lists \(all.count)")
    }
    // Checked before the reserved tokens are named: a short file can reserve millions.
    if let maximumCount, reserved + used > maximumCount {
      throw FormatError(path: path, "has \(reserved + used) tokens, and the model \(maximumCount)")
    }
    guard let pattern = config["pattern"]?.string else {
      throw FormatError(path: path, subject: "key config.pattern", "is missing")
    }
    self.pattern = pattern
    tokens = Array(all.prefix(used))
    ranks = ByteTable(minimumCapacity: used)
    for (rank, token) in tokens.enumerated() {
      if let other = ranks.insert(token, value: Int32(rank)) {
        throw FormatError(path: path, subject: "token of rank \(rank)", "has the bytes of rank \(other)")
      }
    }
    special = try Self.special(defined, version: config["version"]?.string ?? "", path: path)
    guard special.count <= reserved else {
      throw FormatError(
        path: path, subject: "key special_tokens", "has \(special.count) entries, and \(reserved) are reserved")
    }
    for id in special.count..<reserved { special.append("<SPECIAL_\(id)>") }
  }

  private func token(_ entry: JSONValue, rank: Int) throws -> [UInt8] {
    guard rank < 1 << 24, entry["rank"]?.int == rank, let text = entry["token_bytes"]?.string,
      let data = Data(base64Encoded: text), !data.isEmpty, rank >= 256 || Array(data) == [UInt8(rank)]
    else {
      throw FormatError(
        path: path, subject: "key vocab",
        "has at index \(rank) no token of this rank"
          + (rank < 256 ? ", which is the byte itself" : ""))
    }
    guard data.count <= Self.maximumLength else {
      throw FormatError(
        path: path, subject: "token of rank \(rank)",
        "has \(data.count) bytes, and at most \(Self.maximumLength) are read")
    }
    return Array(data)
  }

  private static func special(_ entries: [JSONValue]?, version: String, path: String) throws -> [String] {
    guard let entries else {
      guard let number = Int(version.dropFirst().prefix { $0.isASCII && $0.isNumber }), number <= 7 else {
        throw FormatError(path: path, subject: "key special_tokens", "is missing, and version \(version) needs it")
      }
      return fixed
    }
    return try entries.enumerated().map { rank, entry in
      guard entry["rank"]?.int == rank, let text = entry["token_str"]?.string, !text.isEmpty else {
        throw FormatError(path: path, subject: "key special_tokens", "has at index \(rank) no token of this rank")
      }
      return text
    }
  }

  private static let fixed = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
  ]
}
