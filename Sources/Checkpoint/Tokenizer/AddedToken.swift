/// A token added to a vocabulary, with the flags of the `tokenizers` package.
struct AddedToken {
  let content: String
  var id: Int
  var isSpecial: Bool
  /// Whether the token is searched for in normalized text, after its content is normalized.
  var isNormalized: Bool
  /// Whether a file gives its id, instead of only naming it.
  var isListed = true
  /// Whether it has `lstrip`, `rstrip` or `single_word`, for which GGUF has no keys.
  var looksAround = false

  init(_ content: String, id: Int, isSpecial: Bool, isNormalized: Bool) {
    self.content = content
    self.id = id
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
  }

  /// Reads an entry of `added_tokens` or `added_tokens_decoder`; nil if it has no content.
  init?(_ entry: JSONValue, id: Int) {
    guard let content = entry["content"]?.string else { return nil }
    self.init(
      content, id: id, isSpecial: entry["special"]?.bool ?? false, isNormalized: entry["normalized"]?.bool ?? true)
    looksAround = ["lstrip", "rstrip", "single_word"].contains { entry[$0]?.bool == true }
  }
}
