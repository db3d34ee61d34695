/// A token that was added to a vocabulary, with the flags of the `tokenizers` package.
struct AddedToken {
  let content: String
  var id: Int
  var isSpecial: Bool
  /// It is looked for in normalized text, and its content is normalized first.
  var isNormalized: Bool
  /// A file gives it an id; it is not only named.
  var isListed = true
  /// `lstrip`, `rstrip` or `single_word`, which a GGUF has no keys for.
  var looksAround = false

  init(_ content: String, id: Int, isSpecial: Bool, isNormalized: Bool) {
    self.content = content
    self.id = id
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
  }

  /// An entry of `added_tokens` or `added_tokens_decoder`; nil where it has no content.
  init?(_ entry: JSONValue, id: Int) {
    guard let content = entry["content"]?.string else { return nil }
    self.init(
      content, id: id, isSpecial: entry["special"]?.bool ?? false, isNormalized: entry["normalized"]?.bool ?? true)
    looksAround = ["lstrip", "rstrip", "single_word"].contains { entry[$0]?.bool == true }
  }
}
