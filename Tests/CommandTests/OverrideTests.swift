import Foundation
import GGUF
import TestSupport
import Testing

/// `--override-kv` refuses values that a reader would refuse, before anything is written.
@Suite struct OverrideTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  private func quantize(_ overrides: [String]) throws -> Binary.Result {
    try qtool.run(
      ["quantize", Repository.demoModel, "--type", "Q8_0", "--no-importance", "-o", out.path("o.gguf"), "--quiet"]
        + overrides.flatMap { ["--override-kv", $0] })
  }

  @Test(arguments: [
    ("general.alignment=int:7", "power of two"), ("general.alignment=int:0", "power of two"),
    ("general.alignment=int:-32", "-32 is out of its range"), ("general.alignment=int:4", "a multiple of 8"),
    ("general.alignment=int:2097152", "power of two"),
    ("general.alignment=str:64", "write general.alignment=int:VALUE"),
    ("general.alignment=float:64", "an integer (u32)"), ("general.alignment=bool:true", "an integer (u32)"),
    ("split.count=int:3", "qtool split"), ("split.no=int:0", "qtool split"),
    ("split.tensors.count=int:39", "qtool split"),
    ("general.architecture=str:foo", "no keys of the architecture foo"), ("general.architecture=int:3", "a string"),
    ("general.file_type=str:Q4", "an integer (u32)"), ("llama.block_count=int:5", "tensors have 4"),
    ("llama.block_count=int:3", "tensors have 4"), ("llama.embedding_length=int:255", "could not be run"),
    ("llama.rope.freq_base=int:10000", "a float"), ("llama.context_length=float:77", "an integer (u32)"),
    ("llama.vocab_size=int:7", "2048 rows"), ("tokenizer.ggml.tokens=str:a", "is an array"),
    ("tokenizer.ggml.scores=float:1", "is an array"), ("tokenizer.ggml.bos_token_id=int:2048", "beyond 2048 tokens"),
    ("tokenizer.ggml.padding_token_id=int:99999", "beyond 2048 tokens"),
    ("tokenizer.ggml.pre=str:nonesuch", "is nonesuch"),
    ("tokenizer.ggml.model=str:nonesuch", "is nonesuch"), ("tokenizer.ggml.add_bos_token=int:1", "a bool"),
    ("quantize.imatrix.fingerprint=str:a", "qtool's record"), ("general.name=int:3", "a string"),
    ("=int:3", "names no key"), ("a b=int:3", "ASCII"), ("größe=int:3", "ASCII"), ("a=int", "is not KEY=TYPE:VALUE"),
    ("a=word:3", "there is no type word"), ("a=int:x", "is not an integer"), ("a=int:5000000000", "more than 32 bits"),
    ("a=bool:yes", "is not true or false"), ("a=float:1e50", "not a finite float"),
    ("a=float:nan", "not a finite float"),
  ])
  func refused(_ override: String, _ reason: String) throws {
    let result = try quantize([override])
    #expect(result.status == 64, "\(override): \(result.error)")
    #expect(result.error.hasPrefix("qtool: --override-kv "))
    #expect(result.error.contains(reason), "\(result.error)")
    #expect(out.contents.isEmpty)
  }

  @Test func keysGivenTwiceOrTooLong() throws {
    let twice = try quantize(["a.b=int:1", "a.b=int:2"])
    #expect(twice.status == 64 && twice.error.contains("key a.b is given twice"))
    let long = try quantize([String(repeating: "k", count: 65536) + "=int:1"])
    #expect(long.status == 64 && long.error.contains("at most 65535") && long.error.count < 500)
    #expect(out.contents.isEmpty)
  }

  @Test func whatIsAllowedIsWritten() throws {
    let result = try quantize([
      "general.alignment=int:64", "general.name=str:Half a = demo: x", "llama.context_length=int:77",
      "llama.rope.freq_base=float:20000", "mine.flag=bool:true", "mine.number=int:-3", "mine.large=int:4294967295",
      "tokenizer.ggml.bos_token_id=int:5",
    ])
    #expect(result.status == 0, "\(result.error)")
    let file = try GGUFFile(path: out.path("o.gguf"))
    #expect(file.metadata["general.alignment"] == .uint32(64))
    #expect(file.tensors.allSatisfy { file.offset(of: $0) % 64 == 0 })
    #expect(file.metadata["general.name"] == .string("Half a = demo: x"))
    #expect(file.metadata["llama.context_length"] == .uint32(77))
    #expect(file.metadata["llama.rope.freq_base"] == .float32(20000))
    #expect(file.metadata["mine.flag"] == .bool(true))
    #expect(file.metadata["mine.number"] == .int32(-3))
    #expect(file.metadata["mine.large"] == .uint32(.max))
    #expect(try qtool.run(["verify", out.path("o.gguf"), "--quiet"]).status == 0)
  }
}
