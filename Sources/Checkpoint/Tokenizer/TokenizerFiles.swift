import Files
import Foundation

/// The small files around a tokenizer.
struct TokenizerFiles {
  let directory: String
  let configPath: String
  /// The content of tokenizer_config.json; nil if it does not exist.
  let config: JSONValue?

  init(directory: String) throws {
    self.directory = directory
    configPath = directory + "/tokenizer_config.json"
    config = FileManager.default.fileExists(atPath: configPath) ? try JSONValue.read(configPath, limit: 64 << 20) : nil
    guard config == nil || config?.object != nil else { throw FormatError(path: configPath, "is not a JSON object") }
  }

  /// The path of a file in the directory; nil if it does not exist.
  func path(_ name: String) -> String? {
    let path = directory + "/" + name
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }

  /// Whether tokenizer_config.json lists added tokens. If so, `transformers` does not read added_tokens.json and
  /// special_tokens_map.json.
  var listsAddedTokens: Bool { config?["added_tokens_decoder"]?.object != nil }

  /// The tokens of added_tokens.json, sorted by id.
  func addedTokens() throws -> [AddedToken] {
    guard let path = path("added_tokens.json") else { return [] }
    guard let entries = try JSONValue.read(path).object else { throw FormatError(path: path, "is not a JSON object") }
    return try entries.map { content, value in
      guard let id = value.int, (0...Int(Int32.max)).contains(id) else {
        throw FormatError(path: path, subject: "token \(content.debugDescription)", "has no valid id")
      }
      return AddedToken(content, id: id, isSpecial: false, isNormalized: true)
    }.sorted { ($0.id, $0.content) < ($1.id, $1.content) }
  }

  /// The tokens of tokenizer_config.json's `added_tokens_decoder`, sorted by id.
  func addedTokensDecoder() throws -> [AddedToken] {
    guard let value = config?["added_tokens_decoder"], value != .null else { return [] }
    guard let entries = value.object else {
      throw FormatError(path: configPath, subject: "key added_tokens_decoder", "is not an object")
    }
    return try entries.map { key, entry in
      guard let id = Int(key), (0...Int(Int32.max)).contains(id), let token = AddedToken(entry, id: id) else {
        throw FormatError(
          path: configPath, subject: "key added_tokens_decoder",
          "holds an entry \(key.debugDescription) that is not a token")
      }
      return token
    }.sorted { $0.id < $1.id }
  }
}
