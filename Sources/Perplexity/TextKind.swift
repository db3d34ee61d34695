/// The kind of text of a file, such as code or chat, determined by the first rule that applies:
///
/// 1. Front matter: a line `kind: NAME` between a first line `---` and a later one. Front matter is not scored.
/// 2. The extension: that of a source file means `code`, `.jsonl` means `chat`.
/// 3. A word of the file's name: `code`; `chat`, `dialogue`, `instructions`; `math`, `mathematics`; `long`, `book`.
/// 4. The letters: more than 30 % outside of the Latin script mean `other scripts`.
/// 5. `prose`.
public enum TextKind {
  static let code = "code"
  static let chat = "chat"
  static let mathematics = "mathematics"
  static let longDocuments = "long documents"
  static let otherScripts = "other scripts"
  static let prose = "prose"

  private static let sourceExtensions: Set<String> = [
    "c", "cc", "cpp", "cs", "css", "cu", "go", "h", "hpp", "hs", "html", "java", "jl", "js", "json", "kt", "lua", "m",
    "metal", "ml", "php", "pl", "py", "r", "rb", "rs", "scala", "sh", "sql", "swift", "ts", "tsx", "xml", "yaml", "yml",
  ]
  private static let words: [String: String] = [
    "code": code, "source": code, "sources": code, "chat": chat, "chats": chat, "dialog": chat, "dialogue": chat,
    "dialogues": chat, "conversation": chat, "conversations": chat, "instruct": chat, "instructions": chat,
    "math": mathematics, "maths": mathematics, "mathematics": mathematics, "long": longDocuments,
    "longdoc": longDocuments, "book": longDocuments, "books": longDocuments,
  ]

  /// Determines the kind of a text, and removes its front matter.
  public static func classify(name: String, text: String) -> (kind: String, text: String) {
    let (named, body) = frontMatter(of: text)
    return (named ?? kind(ofName: name) ?? (isOfAnotherScript(body) ? otherScripts : prose), body)
  }

  private static func frontMatter(of text: String) -> (kind: String?, body: String) {
    let bytes = Array(text.utf8.prefix(16 << 10))
    func line(from start: Int) -> (text: String, next: Int)? {
      guard start < bytes.count else { return nil }
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      let line = bytes[start..<end].last == UInt8(ascii: "\r") ? bytes[start..<end - 1] : bytes[start..<end]
      return (String(decoding: line, as: UTF8.self), min(bytes.count, end + 1))
    }
    guard let first = line(from: 0), first.text == "---" else { return (nil, text) }
    var kind: String?
    var offset = first.next
    while let (content, next) = line(from: offset) {
      if content == "---" {
        // Text between two horizontal rules is not front matter.
        return kind == nil ? (nil, text) : (kind, String(decoding: text.utf8.dropFirst(next), as: UTF8.self))
      }
      if content.hasPrefix("kind:") {
        let value = content.dropFirst(5).split(separator: " ").joined(separator: " ")
        if !value.isEmpty { kind = value }
      }
      offset = next
    }
    return (nil, text)
  }

  private static func kind(ofName name: String) -> String? {
    var parts = name.lowercased().split(separator: ".").map(String.init)
    if parts.count > 1, parts.last == "zst" { parts.removeLast() }
    if parts.count > 1, let last = parts.last {
      if sourceExtensions.contains(last) { return code }
      if last == "jsonl" { return chat }
    }
    for word in parts.joined(separator: " ").split(whereSeparator: { !$0.isLetter }) {
      if let kind = words[String(word)] { return kind }
    }
    return nil
  }

  /// Whether most letters of the first 100,000 characters are of another script than Latin.
  private static func isOfAnotherScript(_ text: String) -> Bool {
    var latin = 0
    var other = 0
    for scalar in text.unicodeScalars.prefix(100_000) where scalar.properties.isAlphabetic {
      // Latin and its extensions end at U+024F. U+1E00 to U+1EFF are Latin letters with marks.
      if scalar.value < 0x250 || (0x1E00..<0x1F00).contains(scalar.value) { latin += 1 } else { other += 1 }
    }
    return other * 10 > (latin + other) * 3
  }
}
