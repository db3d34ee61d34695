/// Splits text into words, by the pattern that a vocabulary was trained with. Merges do not cross words.
///
/// A splitter is a sequence of stages. Each stage splits every piece of the previous stage into the matches of its
/// pattern and the text between them. A pattern sees one piece only: `$` and `(?!\S)` match at its end.
public enum Splitter: Sendable, CaseIterable {
  /// Llama 3's: contractions, words with one leading character, digits by threes, punctuation, blanks.
  case llama
  /// Qwen 2's: Llama 3's with digits one by one.
  case qwen2
  /// Qwen 3.5's: marks count as letters.
  case qwen35
  /// GPT-2's, which is the byte-level pre-tokenizer's default.
  case gpt2
  /// GPT-2's after isolating every digit: StarCoder, Command R, SmolLM.
  case digits
  /// DeepSeek LLM's and V2's six stages.
  case deepSeekLLM
  /// DeepSeek Coder's five stages.
  case deepSeekCoder
  /// DeepSeek V3's and R1's three stages.
  case deepSeekV3
  /// Spark's: DeepSeek V3's with single line breaks.
  case spark
  /// Arcee's AFMoE: digits in threes from the right, then DeepSeek V3's with more scripts.
  case afmoe
  /// Kimi K2's: GPT-4o's without Han, runs of which are words.
  case kimiK2
  /// Laguna's: lines, then Qwen 2's.
  case laguna
  /// Seed-Coder's: Qwen 2's without line breaks behind punctuation.
  case seedCoder
  /// MiniCPM 5's: digits by threes, then Llama 3's.
  case miniCPM5
  /// Cohere's Command A+ and Tiny Aya: digits in threes from the right, then GPT-4o's.
  case tinyAya
  /// EXAONE MoE's: phrases.
  case exaoneMoE
  /// Youtu's: scripts of East Asia, then tekken's words with contractions.
  case youtu
  /// SuperBPE's: digits in threes from the right; other text is not split.
  case superBPE
  /// Mistral's: words of capitals followed by lower case.
  case tekken
  /// GPT-4o's and Llama 4's: tekken's words with contractions, digits by threes.
  case gpt4o
  /// llama.cpp's default for models that name no splitter.
  case unnamed
  /// Falcon's.
  case falcon

  var stages: [SplitStage] {
    switch self {
    case .llama: [.words(WordPattern(digits: 3))]
    case .qwen2: [.words(WordPattern(digits: 1))]
    case .qwen35: [.words(WordPattern(letters: [.letter, .mark], digits: 1))]
    case .gpt2: [.gpt2]
    case .digits: [.digits(maximum: 1), .gpt2]
    case .deepSeekLLM:
      [
        .lineBreak, .set(DeepSeekPatterns.letterSet, blank: true), .set(DeepSeekPatterns.markSet, blank: true),
        .trailingBlanks, .set(DeepSeekPatterns.eastAsian, blank: false), .digits(maximum: 1),
      ]
    case .deepSeekCoder:
      [
        .lineBreak, .run(.letter, blank: true), .run(.punctuation, blank: true),
        .set(DeepSeekPatterns.eastAsian, blank: false), .digits(maximum: 1),
      ]
    case .deepSeekV3:
      [.digits(maximum: 3), .set(DeepSeekPatterns.hanAndKana, blank: false), .deepSeekV3(joinsBreaks: true)]
    case .spark:
      [
        .digits(maximum: 3), .set(DeepSeekPatterns.hanAndKana, blank: false), .deepSeekV3(joinsBreaks: false),
        .digits(maximum: 1),
      ]
    case .afmoe: [.groupedDigits, .set(AsianScripts.afmoe, blank: false), .deepSeekV3(joinsBreaks: true)]
    case .kimiK2: [.cased(CasedWordPattern(digits: 3, contractions: true, isolatesHan: true))]
    case .laguna: [.lines, .words(WordPattern(digits: 1))]
    case .seedCoder: [.words(WordPattern(digits: 1, takesBreaks: false))]
    case .miniCPM5: [.digits(maximum: 3), .words(WordPattern(digits: 3))]
    case .tinyAya: [.boundedDigits, .cased(CasedWordPattern(digits: 3, contractions: true))]
    case .exaoneMoE: [.phrases]
    case .youtu: [.sets(AsianScripts.youtu), .cased(CasedWordPattern(digits: 1, contractions: true))]
    case .superBPE: [.groupedDigits]
    case .tekken: [.cased(CasedWordPattern(digits: 1, contractions: false))]
    case .gpt4o: [.cased(CasedWordPattern(digits: 3, contractions: true))]
    case .unnamed:
      [.set(DefaultPatterns.unnamedMarks, blank: false), .gpt2, .run(.number, blank: false), .threeDigits]
    case .falcon: [.set(DefaultPatterns.falconMarks, blank: false), .gpt2, .threeDigits]
    }
  }

  /// The numbers of bytes of a text's words.
  package func wordLengths(of text: String) -> [Int] {
    var lengths: [Int] = []
    words(of: ScalarText(text[...])) { lengths.append($0.count) }
    return lengths
  }

  /// Calls `body` with the byte range of every word, in order. The ranges cover all of `text`.
  func words(of text: ScalarText, _ body: (Range<Int>) -> Void) {
    let stages = stages
    var byte = 0
    text.scalars.withSpan { scalars in
      func split(_ piece: Range<Int>, _ depth: Int) {
        guard depth < stages.count else {
          let start = byte
          for index in piece { byte += ScalarText.width(scalars[index]) }
          return body(start..<byte)
        }
        let stage = stages[depth]
        var gap = piece.lowerBound
        var position = stage.firstPosition(scalars, piece)
        while position < piece.upperBound {
          let end = stage.end(scalars, position, piece.upperBound)
          guard end > position else {
            position += 1
            continue
          }
          if gap < position { split(gap..<position, depth + 1) }
          split(position..<end, depth + 1)
          gap = end
          position = end
        }
        if gap < piece.upperBound { split(gap..<piece.upperBound, depth + 1) }
      }
      split(0..<scalars.count, 0)
    }
  }
}

/// The characters that llama.cpp's default and Falcon's splitter isolate first.
private enum DefaultPatterns {
  static let unnamedMarks = ScalarSet(classes: .punctuation, "$+<=>^~|")
  static let falconMarks = ScalarSet(classes: .punctuation, "$+<=>^~|`")
}

/// The scripts that AFMoE's and Youtu's splitters isolate first.
private enum AsianScripts {
  /// Han, kana, Thai, Lao, Khmer, Myanmar and Hangul.
  static let afmoe = ScalarSet(
    """
    \u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}\u{FF65}-\u{FF9F}\
    \u{2F00}-\u{2FDF}\u{E00}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\
    \u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}
    """)
  static let youtu = [
    ScalarSet("\u{AC00}-\u{D7A3}\u{3131}-\u{318E}"),
    ScalarSet(
      "\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}"
    ),
    ScalarSet("\u{3105}-\u{312F}"), ScalarSet("\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}"),
  ]
}

extension Array {
  /// The array's elements without copying them.
  fileprivate func withSpan(_ body: (Span<Element>) -> Void) { body(span) }
}
