import Checkpoint
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

@Suite struct DemoTokenizerTests {
  struct Case: Decodable {
    let text: String
    let ids: [Int32]
  }

  let tokenizer: Tokenizer

  init() throws {
    tokenizer = try Tokenizer(metadata: try CheckpointDirectory(path: Repository.demoModel).metadata)
  }

  static let cases: [Case] = {
    guard let url = Bundle.module.url(forResource: "Fixtures/ids", withExtension: "json"),
      let data = try? Data(contentsOf: url)
    else { return [] }
    return (try? JSONDecoder().decode([Case].self, from: data)) ?? []
  }()

  @Test func idsEqualTheReference() throws {
    #expect(Self.cases.count > 20)
    for item in Self.cases {
      #expect(tokenizer.encode(item.text, addSpecial: false) == item.ids, "\(item.text.debugDescription)")
    }
  }

  @Test func decodingGivesTheText() {
    for item in Self.cases {
      #expect(tokenizer.decode(tokenizer.encode(item.text, addSpecial: false)) == Array(item.text.utf8))
    }
  }

  @Test func controlTokensAreParsedOnRequest() {
    let text = "a<|end_of_text|>b"
    #expect(tokenizer.encode(text, addSpecial: false, parseSpecial: true).contains(1))
    #expect(!tokenizer.encode(text, addSpecial: false).contains(1))
    #expect(tokenizer.encode("a").first == 0)
  }

  @Test func metadataWithoutATokenizerIsRefused() {
    #expect(throws: TokenizerError.self) { try Tokenizer(metadata: ["general.architecture": .string("llama")]) }
  }
}
