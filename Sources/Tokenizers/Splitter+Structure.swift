/// A step of a tokenizer.json's `pre_tokenizer`.
public enum SplitStep: Equatable, Sendable, CustomStringConvertible {
  /// Isolates the matches of a pattern.
  case split(String)
  /// Isolates every digit.
  case digits
  /// Represents bytes as characters; with `regex`, after splitting by GPT-2's pattern.
  case byteLevel(regex: Bool)

  /// The step in one line, for messages.
  public var description: String {
    switch self {
    case .split(let pattern): "Split \(pattern)"
    case .digits: "Digits"
    case .byteLevel(let regex): regex ? "ByteLevel" : "ByteLevel without its pattern"
    }
  }
}

extension Splitter {
  /// The steps of the splitter in a tokenizer.json; nil if it has no such form.
  public var steps: [SplitStep]? {
    let bytes = SplitStep.byteLevel(regex: false)
    let eastAsian = SplitStep.split("[" + DeepSeekPatterns.eastAsianList + "]+")
    switch self {
    case .llama: return [.split(Self.wordPattern(#"\p{N}{1,3}"#)), bytes]
    case .qwen2: return [.split(Self.wordPattern(#"\p{N}"#)), bytes]
    case .qwen35:
      let pattern = Self.wordPattern(#"\p{N}"#, letters: #"[\p{L}\p{M}]"#, others: #"\p{L}\p{M}\p{N}"#)
      return [.split(pattern), bytes]
    case .gpt2: return [.byteLevel(regex: true)]
    case .digits: return [.digits, .byteLevel(regex: true)]
    case .deepSeekLLM:
      return [
        .split(#"[\r\n]"#), .split(#"\s?["# + DeepSeekPatterns.letters + "]+"),
        .split(#"\s?["# + DeepSeekPatterns.marks + "]+"), .split(#"\s+$"#), eastAsian, .digits, bytes,
      ]
    case .deepSeekCoder:
      return [.split(#"[\r\n]"#), .split(#"\s?\p{L}+"#), .split(#"\s?\p{P}+"#), eastAsian, .digits, bytes]
    case .deepSeekV3:
      let pattern = Self.markedWords + #"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
      return [.split(#"\p{N}{1,3}"#), .split("[" + DeepSeekPatterns.hanAndKanaList + "]+"), .split(pattern), bytes]
    case .tekken: return [.split(Self.casedPattern(#"\p{N}"#)), bytes]
    case .gpt4o: return [.split(Self.casedPattern(#"\p{N}{1,3}"#, suffix: Self.contractions + "?")), bytes]
    case .seedCoder:
      return [
        .split(
          Self.contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"#),
        bytes,
      ]
    case .miniCPM5: return [.split(#"\p{N}{1,3}"#), .split(Self.wordPattern(#"\p{N}+"#)), bytes]
    case .tinyAya:
      let pattern = Self.casedPattern(#"\p{N}{1,3}"#, suffix: Self.contractions + "?")
      return [.split(#"\d{1,3}(?=(?:\d{3})*\b)"#), .split(pattern), bytes]
    case .exaoneMoE:
      let pattern =
        Self.contractions + #"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"#
      return [.split(pattern), bytes]
    case .kimiK2: return [.split(Self.kimiPattern), bytes]
    case .laguna: return [.split(#"[^\n]+|[\n]+"#), .split(Self.wordPattern(#"\p{N}"#)), bytes]
    case .spark:
      return [
        .split(#"\p{N}{1,3}"#), .split("[" + DeepSeekPatterns.hanAndKanaList + "]+"),
        .split(Self.markedWords + #"|[\r\n]|\s+(?!\S)|\s+"#), .digits, bytes,
      ]
    case .youtu:
      let scripts =
        "[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+"
        + "|[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+"
        + "|[\u{3105}-\u{312F}]+|[" + DeepSeekPatterns.hanAndKanaList + "]+"
      return [.split(scripts), .split(Self.casedPattern(#"\p{N}"#, suffix: Self.contractions + "?")), bytes]
    case .superBPE: return [.split(#"\p{N}+"#), .split(#"(?=(\d{3})+(?!\d))"#), bytes]
    case .unnamed, .falcon, .afmoe: return nil
    }
  }

  /// The splitter with these steps; nil if none has them.
  public init?(steps: [SplitStep]) {
    guard let splitter = Self.allCases.first(where: { $0.steps == steps }) else { return nil }
    self = splitter
  }

  /// Letters behind a mark, words, and marks, of DeepSeek V3.
  private static let markedWords =
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
    + #"| ?[\p{P}\p{S}]+"#

  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

  private static let kimiPattern: String = {
    let (front, suffix) = (#"[^\r\n\p{L}\p{N}]?"#, contractions + "?|")
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
    return #"[\p{Han}]+|"# + front + upper + "*" + lower + "+" + suffix + front + upper + "+" + lower + "*" + suffix
      + #"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }()

  private static func wordPattern(
    _ digits: String, letters: String = #"\p{L}"#, others: String = #"\p{L}\p{N}"#
  ) -> String {
    contractions + #"|[^\r\n\p{L}\p{N}]?"# + letters + "+|" + digits + #"| ?[^\s"# + others
      + #"]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  private static func casedPattern(_ digits: String, suffix: String = "") -> String {
    let (front, upper, lower) = (
      #"[^\r\n\p{L}\p{N}]?"#, #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    )
    return front + upper + "*" + lower + "+" + suffix + "|" + front + upper + "+" + lower + "*" + suffix + "|" + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }
}
