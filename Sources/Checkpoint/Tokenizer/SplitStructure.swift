import Tokenizers

/// The steps that a tokenizer.json applies to text before merging.
struct SplitStructure {
  /// The splitting steps; nil if one is of an unknown kind.
  let steps: [SplitStep]?
  /// Whether text is composed (NFC) first; nil if it is changed in another way.
  let composes: Bool?
  /// The steps before splitting, and the splitting steps, as JSON.
  let normalizers: [JSONValue]
  let parts: [JSONValue]
  private let summary: String

  init(_ tokenizer: TokenizerJSON) {
    normalizers = Self.parts(tokenizer.normalizer, "normalizers")
    let kinds = normalizers.map { $0["type"]?.string ?? "?" }
    composes = kinds.isEmpty ? false : kinds == ["NFC"] ? true : nil
    parts = Self.parts(tokenizer.preTokenizer, "pretokenizers")
    let steps = parts.map(Self.step)
    self.steps = steps.contains { $0 == nil } ? nil : steps.compactMap { $0 }
    let words = zip(parts, steps).map { part, step in step?.description ?? Self.describe(part) }
    summary = (normalizers.map { "normalizer " + Self.describe($0) } + (words.isEmpty ? ["no pre_tokenizer"] : words))
      .joined(
        separator: ", ")
  }

  /// The structure in one line, for messages.
  var description: String {
    let line = String(String.UnicodeScalarView(summary.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
    return line.count > 240 ? line.prefix(240) + "…" : line
  }

  private static func parts(_ value: JSONValue?, _ key: String) -> [JSONValue] {
    guard let value else { return [] }
    guard value["type"]?.string == "Sequence" else { return [value] }
    return (value[key]?.array ?? []).flatMap { parts($0, key) }
  }

  private static func step(_ part: JSONValue) -> SplitStep? {
    switch part["type"]?.string {
    case "Digits" where part["individual_digits"]?.bool == true: return .digits
    case "ByteLevel" where part["add_prefix_space"]?.bool == false:
      return .byteLevel(regex: part["use_regex"]?.bool ?? true)
    case "Split":
      guard let pattern = part["pattern"]?["Regex"]?.string else { return nil }
      // Known patterns match all text, so removing the text between matches changes nothing.
      let invert = part["invert"]?.bool ?? false
      guard part["behavior"]?.string == (invert ? "Removed" : "Isolated") else { return nil }
      let canonical = canonical(pattern)
      return canonical == #"\p{N}"# ? .digits : .split(canonical)
    default: return nil
    }
  }

  /// Normalises a pattern: control characters become escapes, and `{1}` is removed.
  static func canonical(_ pattern: String) -> String {
    var result = ""
    for scalar in pattern.unicodeScalars {
      switch scalar {
      case "\r": result += #"\r"#
      case "\n": result += #"\n"#
      case "\t": result += #"\t"#
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result.replacing(#"\p{N}{1}"#, with: #"\p{N}"#)
  }

  private static func describe(_ part: JSONValue) -> String {
    let fields = (part.object ?? [:]).filter { $0.key != "type" }.sorted { $0.key < $1.key }.map { key, value in
      switch value {
      case .string(let text): "\(key) \(text)"
      case .bool(let flag): "\(key) \(flag)"
      case .object(let inner): "\(key) \(inner.values.compactMap(\.string).joined())"
      default: key
      }
    }
    return ([part["type"]?.string ?? "a step without a type"] + fields).joined(separator: " ")
  }
}
