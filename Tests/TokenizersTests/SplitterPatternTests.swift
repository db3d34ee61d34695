import Foundation
import TestSupport
import Testing
import Tokenizers

/// Splitters beside the `regex` package, which runs the models' patterns. Fixtures/splits.py makes the digests.
@Suite struct SplitterPatternTests {
  struct Fixture: Decodable {
    let extra: String
    let words: [String: String]
  }

  static let fixture: Fixture? = {
    let url = Bundle.module.url(forResource: "splits", withExtension: "json", subdirectory: "Fixtures")
    return url.flatMap { try? Data(contentsOf: $0) }.flatMap { try? JSONDecoder().decode(Fixture.self, from: $0) }
  }()

  @Test(arguments: (fixture?.words ?? [:]).sorted { $0.key < $1.key }) func wordsAreThePatterns(
    name: String, expected: String
  ) throws {
    let splitter = try #require(PreTokenizer(name: name)).splitter
    let texts = FamilyTests.texts.prefix(20) + [try #require(Self.fixture).extra]
    let lengths = texts.flatMap { splitter.wordLengths(of: $0) }
    #expect(
      fnv1a(lengths.flatMap { length in (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } }) == expected)
  }

  @Test func allFamiliesAreCompared() {
    #expect(Self.fixture?.words.count == 12)
  }

  /// A run of digits is grouped from its end; with letters behind it, from its start.
  @Test func digitsFromTheRight() throws {
    let splitter = try #require(PreTokenizer(name: "cohere2moe")).splitter
    #expect(splitter.wordLengths(of: "1234567 1234x") == [1, 3, 3, 1, 3, 1, 1])
    #expect(try #require(PreTokenizer(name: "superbpe")).splitter.wordLengths(of: "no 12345") == [3, 2, 3])
  }

  /// The steps of tokenizer.json, with the patterns of Fixtures/splits.py.
  @Test func structuresAreRecognised() {
    let (contractions, bytes) = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", SplitStep.byteLevel(regex: false))
    let ends = #"\s*[\r\n]+|\s+(?!\S)|\s+"#
    let words = contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"# + ends
    #expect(Splitter(steps: [.split(#"[^\n]+|[\n]+"#), .split(words), bytes]) == .laguna)
    let marks =
      ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
      + #"| ?[\p{P}\p{S}]+"#
    let han = "[一-龥\u{3040}-ゟ゠-ヿ]+"
    #expect(
      Splitter(
        steps: [
          .split(#"\p{N}{1,3}"#), .split(han), .split(marks + #"|[\r\n]|\s+(?!\S)|\s+"#), .digits, bytes,
        ]) == .spark)
    let (upper, lower) = (#"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#)
    let front = #"[^\r\n\p{L}\p{N}]?"#
    let cased =
      front + upper + "*" + lower + "+" + contractions + "?|" + front + upper + "+" + lower + "*" + contractions
      + #"?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"# + ends
    let scripts = "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + han
    #expect(Splitter(steps: [.split(scripts), .split(cased), bytes]) == .youtu)
    #expect(Splitter(steps: [.split(#"\p{N}+"#), .split(#"(?=(\d{3})+(?!\d))"#), bytes]) == .superBPE)
  }

  /// Han and other letters are different words, and so are words of one capital each.
  @Test func scriptsOfKimiK2() throws {
    let splitter = try #require(PreTokenizer(name: "kimi-k2")).splitter
    #expect(splitter.wordLengths(of: "中文abc HelloWorld") == [6, 3, 6, 5])
    // As its tokenization_kimi.py has it, which a conversion to tokenizer.json copies.
    let pattern = [
      #"[\p{Han}]+"#,
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
      #"\p{N}{1,3}"#, #" ?[^\s\p{L}\p{N}]+[\r\n]*"#, #"\s*[\r\n]+"#, #"\s+(?!\S)"#, #"\s+"#,
    ].joined(separator: "|")
    #expect(Splitter(steps: [.split(pattern), .byteLevel(regex: false)]) == .kimiK2)
  }
}
