import Files
import Foundation

/// The small files around a tokenizer.
struct TokenizerFiles {
  let directory: String
  let configPath: String
  /// tokenizer_config.json; nil where there is none.
  let config: JSONValue?

  init(directory: String) throws {
    self.directory = directory
    configPath = directory + "/tokenizer_config.json"
    config = FileManager.default.fileExists(atPath: configPath) ? try JSONValue.read(configPath, limit: 64 << 20) : nil
    guard config == nil || config?.object != nil else { throw CheckpointError(path: configPath, "is no JSON object") }
  }

  /// The path of a file of the directory; nil where there is none.
  func path(_ name: String) -> String? {
    let path = directory + "/" + name
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }

  /// The tokens that tokenizer_config.json gives a part.
  var namedTokens: [String] {
    let kinds = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map { config?[$0 + "_token"] }
    let others: [JSONValue?] = config?["additional_special_tokens"]?.array ?? []
    return (kinds + others).compactMap { $0?.string ?? $0?["content"]?.string }
  }

  /// added_tokens.json: ids by token.
  func addedTokens() throws -> [(content: String, id: Int)] {
    guard let path = path("added_tokens.json") else { return [] }
    guard let entries = try JSONValue.read(path).object else { throw CheckpointError(path: path, "is no JSON object") }
    return try entries.sorted { $0.key < $1.key }.map { content, value in
      guard let id = value.int, id >= 0 else {
        throw CheckpointError(path: path, subject: "token \(content.debugDescription)", "has no valid id")
      }
      return (content, id)
    }
  }

  /// tokenizer_config.json's `added_tokens_decoder`: tokens by id.
  func addedTokensDecoder() throws -> [TokenizerJSON.AddedToken] {
    guard let value = config?["added_tokens_decoder"], value != .null else { return [] }
    guard let entries = value.object else {
      throw CheckpointError(path: configPath, subject: "key added_tokens_decoder", "is no object")
    }
    return try entries.map { key, entry in
      guard let id = Int(key), id >= 0, let content = entry["content"]?.string else {
        throw CheckpointError(
          path: configPath, subject: "key added_tokens_decoder",
          "holds an entry \(key.debugDescription) that is no token")
      }
      return TokenizerJSON.AddedToken(
        content: content, id: id, isSpecial: entry["special"]?.bool ?? false,
        isNormalized: entry["normalized"]?.bool ?? true)
    }.sorted { $0.id < $1.id }
  }
}
