import GGUF

/// The type of a token, with llama.cpp's numbers.
public enum TokenType: Int32, Sendable {
  case undefined = 0
  case normal, unknown, control, userDefined, unused, byte
}

/// A model's tokens, from its metadata.
struct Vocabulary: Sendable {
  let tokens: [String]
  let types: [TokenType]
  /// Ids by the tokens' bytes.
  let table: ByteTable

  /// - Throws: ``TokenizerError`` if two ids have the same text, or the arrays do not agree.
  init(metadata: Metadata) throws {
    tokens = try metadata.strings("tokenizer.ggml.tokens")
    guard !tokens.isEmpty, tokens.count <= Int(Int32.max) else {
      throw TokenizerError(key: "tokenizer.ggml.tokens", "has \(tokens.count) entries")
    }
    switch metadata["tokenizer.ggml.token_type"] {
    case nil: types = [TokenType](repeating: .normal, count: tokens.count)
    case .array(.int32(let raw)):
      guard raw.count == tokens.count else {
        throw TokenizerError(key: "tokenizer.ggml.token_type", "has \(raw.count) entries for \(tokens.count) tokens")
      }
      types = raw.map { TokenType(rawValue: $0) ?? .undefined }
    default: throw TokenizerError(key: "tokenizer.ggml.token_type", "is not an array of i32")
    }
    var table = ByteTable(minimumCapacity: tokens.count)
    for (id, token) in tokens.enumerated() where !token.isEmpty {
      if let other = table.insert(token.storedBytes, value: Int32(id)) {
        throw TokenizerError(
          key: "tokenizer.ggml.tokens", "holds \(token.debugDescription) twice: ids \(other) and \(id)")
      }
    }
    self.table = table
  }

  func id(of bytes: [UInt8]) -> Int32? { table.value(of: bytes) }
}
