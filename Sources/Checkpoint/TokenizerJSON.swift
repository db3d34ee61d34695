import Foundation
import GGUF

// tokenizer.json and its companions, turned into a GGUF's tokenizer keys.

/// The tokenizer keys of a GGUF for the tokenizer that lies in `directory`.
///
/// - Parameter vocabularySize: rows of the embedding; ids that no token has become unused padding tokens.
/// - Throws: ``CheckpointError`` where there is no tokenizer, or one of an unknown kind.
public func tokenizerMetadata(directory: String, vocabularySize: Int) throws -> Metadata {
  let path = directory + "/tokenizer.json"
  guard FileManager.default.fileExists(atPath: path) else {
    throw CheckpointError(.missing, path: path, "is missing")
  }
  let root = try JSONValue.read(path)
  guard let model = root["model"], model["type"]?.string == "BPE", let vocabulary = model["vocab"]?.object else {
    throw CheckpointError(
      path: path, subject: "key model", "is of kind \(root["model"]?["type"]?.string ?? "none"); BPE is known")
  }
  var tokens = [String?](repeating: nil, count: vocabularySize)
  var types = [Int32](repeating: TokenType.unused, count: vocabularySize)
  func place(_ content: String, _ id: Int, _ type: Int32) throws {
    guard tokens.indices.contains(id) else {
      throw CheckpointError(
        path: path, subject: "token \(content)", "has id \(id); config.json gives a vocabulary of \(vocabularySize)")
    }
    tokens[id] = content
    types[id] = type
  }
  for (content, id) in vocabulary {
    guard let id = id.int else { throw CheckpointError(path: path, subject: "token \(content)", "has no integer id") }
    try place(content, id, TokenType.normal)
  }
  for added in root["added_tokens"]?.array ?? [] {
    guard let content = added["content"]?.string, let id = added["id"]?.int else {
      throw CheckpointError(path: path, subject: "key added_tokens", "holds an entry without content or id")
    }
    try place(content, id, added["special"]?.bool == true ? TokenType.control : TokenType.userDefined)
  }
  var metadata: Metadata = [
    "tokenizer.ggml.model": .string("gpt2"),
    "tokenizer.ggml.pre": .string(try splitterName(root["pre_tokenizer"], path: path)),
    "tokenizer.ggml.tokens": .array(.string(tokens.enumerated().map { $1 ?? "[PAD\($0)]" })),
    "tokenizer.ggml.token_type": .array(.int32(types)),
    "tokenizer.ggml.merges": .array(.string(try merges(model, path: path))),
  ]
  metadata.merge(try specialTokens(directory: directory, tokens: tokens)) { $1 }
  return metadata
}

/// llama.cpp's token types.
enum TokenType {
  static let normal: Int32 = 1
  static let control: Int32 = 3
  static let userDefined: Int32 = 4
  static let unused: Int32 = 5
}

/// Merges are written as pairs or, in older files, as two parts with a blank between them.
private func merges(_ model: JSONValue, path: String) throws -> [String] {
  try (model["merges"]?.array ?? []).enumerated().map { index, merge in
    if let text = merge.string { return text }
    guard let pair = merge.array?.compactMap(\.string), pair.count == 2 else {
      throw CheckpointError(path: path, subject: "merge number \(index)", "is no pair of strings")
    }
    // Blanks inside a part can't occur in byte-level text; U+0120 stands for them.
    return pair.map { $0.replacing(" ", with: "\u{120}") }.joined(separator: " ")
  }
}

/// The name that llama.cpp gives a splitter, from its structure.
private func splitterName(_ value: JSONValue?, path: String) throws -> String {
  let parts = value?["pretokenizers"]?.array ?? (value.map { [$0] } ?? [])
  let patterns = parts.compactMap { $0["pattern"]?["Regex"]?.string }
  if let name = splitters[patterns] { return name }
  throw CheckpointError(
    path: path, subject: "key pre_tokenizer", "has the unknown splitter \(patterns)", hint: "known: llama-bpe")
}

private let splitters: [[String]: String] = [
  [
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  ]: "llama-bpe"
]

/// Ids of BOS and EOS, whether BOS is put in front, and the chat template.
private func specialTokens(directory: String, tokens: [String?]) throws -> Metadata {
  let path = directory + "/tokenizer_config.json"
  guard FileManager.default.fileExists(atPath: path) else { return [:] }
  let config = try JSONValue.read(path)
  var metadata = Metadata()
  for (name, key) in [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")] {
    guard let content = config[key]?.string ?? config[key]?["content"]?.string,
      let id = tokens.firstIndex(of: content)
    else { continue }
    metadata["tokenizer.ggml.\(name)_token_id"] = .uint32(UInt32(id))
  }
  for (name, key) in [("bos", "add_bos_token"), ("eos", "add_eos_token")] {
    if let value = config[key]?.bool { metadata["tokenizer.ggml.add_\(name)_token"] = .bool(value) }
  }
  if let template = config["chat_template"]?.string { metadata["tokenizer.chat_template"] = .string(template) }
  return metadata
}
