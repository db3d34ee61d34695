import Foundation
import GGUF
import TestSupport
import Testing

/// `qtool inspect` and `qtool diff`, through the binary.
@Suite struct InspectTests {
  let qtool = Binary(beside: .module)

  /// The demo model as BF16 and as Q4_K_M.
  private func files() throws -> TemporaryDirectory {
    let out = try TemporaryDirectory()
    for arguments in [
      ["convert", Repository.demoModel, "-o", out.path("a.gguf"), "--quiet"],
      ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", out.path("b.gguf"), "--quiet"],
    ] { #expect(try qtool.run(arguments).status == 0) }
    return out
  }

  private func json(_ result: Binary.Result) throws -> [String: Any] {
    #expect(result.status == 0, "\(result.error)")
    return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  @Test func aFileIsShownByClassAndType() throws {
    let out = try files()
    let result = try qtool.run(["inspect", out.path("b.gguf")])
    #expect(result.status == 0, "\(result.error)")
    #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(result.output)")
    for part in ["ffn_down", "Q4_K 2, Q6_K 2", "byte-level BPE, splitter llama-bpe", "llama.block_count", "█"] {
      #expect(result.output.contains(part), "\(part) in \(result.output)")
    }
    #expect(!result.output.contains("blk.3.ffn_down.weight"))
    let all = try qtool.run(["inspect", out.path("b.gguf"), "--tensors"])
    #expect(all.output.contains("blk.3.ffn_down.weight"))
    let key = try qtool.run(["inspect", out.path("b.gguf"), "--key", "llama.block_count"])
    #expect(key.output == "4\n")
  }

  @Test func jsonAddsUp() throws {
    let out = try files()
    let result = try json(try qtool.run(["inspect", out.path("b.gguf"), "--json", "--tensors"]))
    let classes = try #require(result["classes"] as? [[String: Any]])
    let types = try #require(result["types"] as? [[String: Any]])
    let tensors = try #require(result["tensors"] as? [[String: Any]])
    let bytes = try #require(result["bytes"] as? Int)
    for list in [classes, types, tensors] {
      #expect(list.reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) } == bytes)
    }
    let file = try GGUFFile(path: out.path("b.gguf"))
    #expect(tensors.count == file.tensors.count)
    #expect((result["metadata"] as? [[String: Any]])?.count == file.metadata.count)
  }

  /// The header of a download is enough, and a note says that the rest is missing.
  @Test func theFirstBytesAreEnough() throws {
    let out = try files()
    let data = try Data(contentsOf: out.url.appending(path: "b.gguf"))
    let header = try GGUFHeader(bytes: Array(data), path: "b.gguf").dataOffset
    try data.prefix(header + 100).write(to: out.url.appending(path: "cut.gguf"))
    let result = try qtool.run(["inspect", out.path("cut.gguf")])
    #expect(result.status == 0, "\(result.error)")
    #expect(result.output.contains("ffn_down") && result.output.contains("only the header is present"))
    // An incomplete header is refused.
    try data.prefix(header - 100).write(to: out.url.appending(path: "short.gguf"))
    let short = try qtool.run(["inspect", out.path("short.gguf")])
    #expect(short.status == 65 && short.error.contains("short.gguf: at byte"), "\(short.error)")
  }

  @Test func badInputIsNamed() throws {
    let out = try TemporaryDirectory()
    try "no model at all".write(toFile: out.path("text.gguf"), atomically: true, encoding: .utf8)
    let text = try qtool.run(["inspect", out.path("text.gguf")])
    #expect(text.status == 65 && text.error.contains("text.gguf") && text.error.contains("is not a GGUF file"))
    let missing = try qtool.run(["inspect", out.path("none.gguf")])
    #expect(missing.status == 66 && missing.error.contains("none.gguf"))
    let key = try qtool.run(["inspect", Repository.demoModel, "--key", "llama.blocks"])
    #expect(key.status == 65 && key.error.contains("has no key llama.blocks"))
    let other = try qtool.run(["diff", out.path("none.gguf"), Repository.demoModel, "--quiet"])
    #expect(other.status == 66 && other.error.contains("none.gguf"))
  }

  @Test func aModelEqualsItsConversion() throws {
    let out = try files()
    let result = try qtool.run(["diff", Repository.demoModel, out.path("a.gguf"), "--quiet"])
    #expect(result.status == 0, "\(result.error)")
    #expect(result.output.contains("are equal, bit for bit"))
    #expect(!result.output.contains("blk.0"))
  }

  @Test func typesAndErrorsOfAQuantizedModel() throws {
    let out = try files()
    let text = try qtool.run(["diff", out.path("a.gguf"), out.path("b.gguf"), "--quiet"])
    #expect(text.status == 0, "\(text.error)")
    #expect(text.output.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(text.output)")
    #expect(text.output.contains("general.file_type"))
    let result = try json(try qtool.run(["diff", out.path("a.gguf"), out.path("b.gguf"), "--json", "--quiet"]))
    let tensors = try #require(result["tensors"] as? [[String: Any]])
    for tensor in tensors {
      let types = try #require(tensor["types"] as? [String])
      let error = try #require(tensor["relative_error"] as? Double)
      // Relative errors of 4 and 6 bits.
      switch types[1] {
      case "Q4_K": #expect(error > 0.001 && error < 0.01, "\(tensor)")
      case "Q6_K": #expect(error > 0.0001 && error < 0.001, "\(tensor)")
      default: #expect(error == 0, "\(tensor)")
      }
    }
    let quick = try qtool.run(["diff", out.path("a.gguf"), out.path("b.gguf"), "--no-errors"])
    #expect(quick.output.contains("ffn_down") && !quick.output.contains("relative error"))
  }

  /// Two vocabularies with the same first tokens are shown from their first difference.
  @Test func longValuesAreShownWhereTheyDiffer() throws {
    let out = try TemporaryDirectory()
    func write(_ name: String, _ tokens: [String], _ types: [Int32], _ template: String) throws {
      let metadata: Metadata = [
        "general.architecture": .string("llama"), "tokenizer.ggml.tokens": .array(.string(tokens)),
        "tokenizer.ggml.token_type": .array(.int32(types)), "tokenizer.chat_template": .string(template),
      ]
      try MemoryModel(metadata: metadata, tensors: [("output_norm.weight", [32], Array(repeating: 1, count: 32))])
        .write(to: out.path(name))
    }
    let tokens = (0..<2048).map { "token\($0)" }
    let template = String(repeating: "x", count: 100)
    try write("a.gguf", tokens, Array(repeating: 1, count: 2048), template + "one")
    var other = tokens
    other[1234] = "else"
    try write("b.gguf", other, Array(repeating: 1, count: 2049), template + "two")
    let text = try qtool.run(["diff", out.path("a.gguf"), out.path("b.gguf"), "--quiet"])
    #expect(text.status == 0, "\(text.error)")
    for shown in [
      "at 1,234: \"token1234\"", "at 1,234: \"else\"", "[2,048 i32]", "[2,049 i32] at 2,048: 1", "at 100: \"one\"",
      "at 100: \"two\"",
    ] {
      #expect(text.output.contains(shown), "\(shown) in \(text.output)")
    }
  }

  @Test func aTruncatedModelIsNamed() throws {
    let out = try files()
    let data = try Data(contentsOf: out.url.appending(path: "b.gguf"))
    try data.prefix(data.count - 1000).write(to: out.url.appending(path: "cut.gguf"))
    let result = try qtool.run(["diff", out.path("a.gguf"), out.path("cut.gguf"), "--quiet"])
    #expect(result.status == 65)
    #expect(result.error.contains("cut.gguf") && result.error.contains("beyond the file"), "\(result.error)")
  }
}
