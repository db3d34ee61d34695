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
    case .deepSeekV3: [.digits(maximum: 3), .set(DeepSeekPatterns.hanAndKana, blank: false), .deepSeekV3]
    case .tekken: [.cased(CasedWordPattern(digits: 1, contractions: false))]
    case .gpt4o: [.cased(CasedWordPattern(digits: 3, contractions: true))]
    case .unnamed:
      [.set(DefaultPatterns.unnamedMarks, blank: false), .gpt2, .run(.number, blank: false), .threeDigits]
    case .falcon: [.set(DefaultPatterns.falconMarks, blank: false), .gpt2, .threeDigits]
    }
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

extension Array {
  /// The array's elements without copying them.
  fileprivate func withSpan(_ body: (Span<Element>) -> Void) { body(span) }
}
