import GGUF
import Plan
import Tensors
import Testing

@Suite struct CompatibilityTests {
  private let llama: Metadata = ["general.architecture": .string("llama")]

  @Test func theNewestTypeDecidesTheBuild() {
    func build(_ types: [GGMLType]) -> Int? { Compatibility(types: types, metadata: llama).build?.number }
    #expect(build([.q4_K, .q6_K, .f32]) == 0)
    #expect(build([.q4_K, .iq2_xxs]) == 1884)
    #expect(build([.iq2_xxs, .iq4_xs, .iq1_m]) == 2710)
    #expect(build([.mxfp4, .iq1_m]) == 6096)
  }

  @Test func theArchitectureCountsToo() {
    let old: Metadata = ["general.architecture": .string("deepseek2")]
    let new: Metadata = [
      "general.architecture": .string("deepseek2"), "deepseek2.attention.key_length_mla": .uint32(192),
    ]
    #expect(Compatibility(types: [.q4_K], metadata: old).build?.number == 4371)
    #expect(Compatibility(types: [.q4_K], metadata: new).build?.number == 5215)
    let tempered = new.merging(["deepseek2.attention.temperature_scale": .float32(0.1)]) { $1 }
    #expect(Compatibility(types: [.q4_K], metadata: tempered).build?.number == 8156)
    for (architecture, number) in [
      ("qwen3next", 7193), ("qwen35", 8156), ("qwen35moe", 8156), ("gemma4", 8639),
      ("glm4moe", 6096), ("qwen3vl", 6900), ("minimax-m2", 7193), ("mistral3", 8156), ("mistral4", 10269),
      ("gemma2", 4371), ("cohere2", 4933), ("lfm2", 6096),
    ] {
      let build = Compatibility(types: [.q4_K], metadata: ["general.architecture": .string(architecture)]).build
      #expect(build?.number == number, "\(architecture)")
    }
    // Without a source for a build, the date of the source that lists it.
    let dated = Compatibility(types: [.q4_K], metadata: ["general.architecture": .string("laguna")])[.llamaCpp]
    #expect(dated.opens && dated.reason == "a build of 1 October 2026 or later")
    let unknown = Compatibility(types: [.q4_K], metadata: ["general.architecture": .string("foo")])
    #expect(unknown.build == nil && !unknown[.llamaCpp].opens && unknown[.llamaCpp].reason.contains("foo"))
    // The other programs run llama.cpp.
    for program in [Compatibility.Program.ollama, .lmStudio] {
      #expect(!unknown[program].opens && unknown[program].reason == "unknown, as for llama.cpp")
    }
  }

  @Test func ollamaTakesNoShards() {
    #expect(Compatibility(types: [.q4_K], metadata: llama)[.ollama].opens)
    let shards = Compatibility(types: [.q4_K], metadata: llama, files: 3)
    #expect(!shards[.ollama].opens && shards[.ollama].reason.contains("3 files") && shards[.lmStudio].opens)
  }

  @Test func mlxKeepsThreeTypes() {
    #expect(Compatibility(types: [.q4_0, .q4_1, .q8_0, .f32, .f16], metadata: llama)[.mlx].opens)
    let mixed = Compatibility(types: [.q4_0, .q6_K], metadata: llama)[.mlx]
    #expect(!mixed.opens && mixed.reason.contains("this has Q6_K"))
  }
}
