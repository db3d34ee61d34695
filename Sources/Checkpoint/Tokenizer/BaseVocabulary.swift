import Files
import Tokenizers

/// A tokenizer's vocabulary without added tokens: each token has one id, and each id one token.
struct BaseVocabulary {
  /// The vocabulary's file.
  let path: String
  private(set) var tokens: [String?] = []
  private var ids: ByteTable
  private(set) var count = 0

  /// - Throws: `FormatError` if two tokens have one id, or one token has two.
  init(path: String, _ entries: some Collection<(token: String, id: Int)>) throws {
    self.path = path
    ids = ByteTable(minimumCapacity: entries.count)
    for (token, id) in entries {
      // Bounds the memory for tokens.
      guard id < 1 << 24 else { throw FormatError(path: path, "gives a token the id \(id)") }
      while tokens.count <= id { tokens.append(nil) }
      if let other = tokens[id] {
        throw FormatError(
          path: path, subject: "token \(token.debugDescription)", "has id \(id), as has \(other.debugDescription)")
      }
      if let other = ids.insert(Array(token.utf8), value: Int32(id)) {
        throw FormatError(
          path: path, subject: "token \(token.debugDescription)", "appears twice, with ids \(other) and \(id)")
      }
      tokens[id] = token
      count += 1
    }
  }

  func id(of token: some Collection<UInt8>) -> Int? { ids.value(of: Array(token)).map(Int.init) }

  func id(of token: String) -> Int? { id(of: token.utf8) }

  subscript(id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }
}
