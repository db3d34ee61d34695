import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import Testing

/// Shapes of widely used models, from config.json alone.
@Suite struct ModelShapesTests {
  static func shapes(_ name: String) throws -> ModelShapes {
    try ModelShapes(
      path: try #require(Bundle.module.url(forResource: "Fixtures/configs/\(name)", withExtension: "json")).path)
  }

  /// Published numbers of parameters, with the 64 rope factors of Llama 3's scaling.
  @Test(arguments: [
    ("Llama-3.1-405B", "llama", 405_853_388_864), ("Llama-3.3-70B", "llama", 70_553_706_560),
    ("Qwen2.5-72B", "qwen2", 72_706_203_648), ("Qwen2.5-Coder-32B", "qwen2", 32_763_876_352),
    ("Midnight-Miqu-103B", "llama", 103_202_824_192), ("Mistral-Large-2407", "llama", 122_610_069_504),
    ("DeepSeek-Coder-V2", "deepseek2", 235_741_434_880), ("DeepSeek-R1", "deepseek2", 671_026_419_200),
    ("Mixtral-8x7B", "llama", 46_702_792_704), ("Qwen3-30B-A3B", "qwen3moe", 30_532_122_624),
    ("Qwen3-8B", "qwen3", 8_190_735_360), ("Gemma-3-4B", "gemma3", 3_880_263_168),
    ("Gemma-3-27B", "gemma3", 27_009_346_304),
  ])
  func parameters(name: String, architecture: String, count: Int) throws {
    let model = try Self.shapes(name)
    #expect(try model.metadata.string("general.architecture") == architecture)
    #expect(model.tensors.reduce(0) { $0 + $1.shape.count } == count)
    #expect(model.tensors.allSatisfy { model.tensor(named: $0.name) == $0 })
  }

  @Test func latentAttentionIsSplit() throws {
    let model = try Self.shapes("DeepSeek-R1")
    func dimensions(_ name: String) -> [Int]? { model.tensor(named: name)?.shape.dimensions }
    #expect(dimensions("blk.60.attn_k_b.weight") == [128, 512, 128])
    #expect(dimensions("blk.60.attn_v_b.weight") == [512, 128, 128])
    #expect(dimensions("blk.60.ffn_down_exps.weight") == [2048, 7168, 256])
    #expect(dimensions("blk.3.exp_probs_b.bias") == [256])
    #expect(dimensions("blk.2.ffn_down.weight") == [18432, 7168])
    #expect(dimensions("blk.61.attn_norm.weight") == nil)
    #expect(model.tensor(named: "blk.3.ffn_gate_inp.weight")?.type == .f32)
    #expect(model.tensor(named: "blk.3.ffn_gate_exps.weight")?.type == .bf16)
    for (key, value) in [
      ("attention.head_count_kv", 1), ("attention.key_length", 576), ("attention.value_length", 512),
      ("attention.key_length_mla", 192), ("attention.value_length_mla", 128), ("leading_dense_block_count", 3),
      ("expert_gating_func", 2), ("rope.scaling.original_context_length", 4096),
    ] {
      #expect(try model.metadata.int("deepseek2." + key) == value, "\(key)")
    }
    #expect(try model.metadata.float("deepseek2.rope.scaling.yarn_log_multiplier") == 0.1)
  }

  @Test(arguments: ["hidden_size", "intermediate_size"]) func columnsThatAreNotWholeBlocks(key: String) throws {
    let url = try #require(Bundle.module.url(forResource: "Fixtures/configs/gpt-oss-20b", withExtension: "json"))
    var config = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    config[key] = 2881
    let text = String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self)
    #expect {
      try ModelShapes(configuration: text, name: "gpt-oss")
    } throws: { error in
      "\(error)".contains("key \(key): is 2881, but blocks of MXFP4 have 32 columns")
    }
  }

  @Test func rowsCannotBeRead() throws {
    let model = try Self.shapes("Qwen3-8B")
    var bytes = [UInt8](repeating: 0, count: 8192)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    var failure: FormatError?
    do {
      try model.readBytes(of: model.tensors[0], rows: 0..<1, into: &raw)
    } catch let error as FormatError {
      failure = error
    }
    #expect(failure?.description.contains("token_embd.weight") == true)
  }
}
