import Foundation
import TestSupport
import Testing

/// Errors of unknown names suggest the nearest known name.
@Suite struct SuggestionTests {
  private static let qtool = Binary(beside: .module)
  private static let quantize = ["quantize", Repository.demoModel, "--dry-run"]

  @Test(arguments: [
    (["quantise"], "quantize"), (["help", "perplexty"], "perplexity"), (["imatirx", "x"], "imatrix"),
    (["drift", "a", "b", "--txt", "c"], "--text"),
    (["perplexity", "a", "--txt=c"], "--text"), (["quantize", "a", "--tpe", "Q8_0", "-o", "b"], "--type"),
    (["imatrix", "a", "--outptu", "b"], "--output"), (["sensitivity", "a", "--bugdet", "1h"], "--budget"),
    (quantize + ["--type", "Q4KM"], "Q4_K_M"),
    (quantize + ["--preset", "ud-iq1s"], "ud-iq1_s"), (quantize + ["--type", "Q8_0", "--pin", "attn_v=Q5K"], "Q5_K"),
    (quantize + ["--type", "Q8_0", "--exclude-type", "IQ3_XSS"], "IQ3_XXS"),
    (quantize + ["--type", "Q8_0", "--pin", "fnn_down=Q6_K"], "ffn_down"),
    (["plan", "Llama-3.3-70B", "--machine", "m3-ulta-256"], "m3-ultra-256"),
    (["plan", "Llama-3.3-70B", "--type", "IQ4_SX"], "IQ4_XS"), (["plan", "LLama-33-71B"], "Llama-3.3-70B"),
    (["convert", Repository.demoModel, "--pre", "lama-bpe", "-o", "x.gguf", "--dry-run"], "llama-bpe"),
    (["inspect", Repository.demoModel, "--key", "llama.block_cont"], "llama.block_count"),
  ])
  func theNearestNameIsSuggested(_ arguments: [String], _ meant: String) throws {
    let result = try Self.qtool.run(arguments)
    #expect(result.status != 0 && result.output.isEmpty)
    let question = try #require(result.error.lowercased().firstRange(of: "did you mean "), "\(result.error)")
    #expect(result.error[question.upperBound...].prefix { $0 != "?" }.contains(meant), "\(result.error)")
  }

  /// A correct name is not suggested.
  @Test(arguments: ["blk\\.99\\.attn_q=Q6_K", "attn_q\\.bias=Q6_K"]) func aNameThatIsThereIsNotSuggested(_ rule: String)
    throws
  {
    let result = try Self.qtool.run(Self.quantize + ["--type", "Q8_0", "--no-importance", "--pin", rule])
    #expect(result.status == 64 && result.error.contains("matches no tensor that can be quantized"), "\(result.error)")
    #expect(!result.error.contains("did you mean"), "\(result.error)")
  }

  @Test func nothingIsNearNonsense() throws {
    let result = try Self.qtool.run(["xyzzyplugh"])
    #expect(result.status == 64 && !result.error.contains("did you mean"))
    #expect(result.error.contains("qtool --help"))
  }
}
