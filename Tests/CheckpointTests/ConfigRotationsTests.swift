import Checkpoint
import Files
import Foundation
import GGUF
import Testing

/// The rotations that each architecture honours and refuses, and the keys that they become.
@Suite struct ConfigRotationsTests {
  private static let (architectures, latents) = (SmallConfig.architectures, SmallConfig.latents)

  /// Rotary parameters, the refused key, and its architectures.
  static let rotations: [(parameters: String, key: String, architectures: [String])] = [
    ("{\"type\": \"dynamic\", \"factor\": 2}", "type", architectures),
    ("{\"rope_type\": \"longrope\", \"factor\": 2}", "rope_type", architectures),
    ("{\"type\": \"su\"}", "type", architectures), ("{\"factor\": 2}", "factor", architectures),
    (
      "{\"rope_type\": \"llama3\", \"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}",
      "rope_type", latents + ["Qwen2", "Qwen3", "Qwen3Moe"]
    ),
    ("{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 16}", "beta_fast", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": 2}", "beta_slow", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"truncate\": false}", "truncate", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"attn_factor\": 2}", "attn_factor", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"extrapolation_factor\": 0.5}", "extrapolation_factor", architectures),
    ("{\"type\": \"linear\", \"factor\": 4, \"partial_rotary_factor\": 0.5}", "partial_rotary_factor", architectures),
    ("{\"llama_4_scaling_beta\": 0.1}", "llama_4_scaling_beta", architectures),
    ("{\"other_attention\": {\"rope_theta\": 5}}", "other_attention", architectures),
    ("{\"full_attention\": {\"rope_theta\": 5}}", "full_attention", ["Llama", "Qwen3Moe", "DeepseekV3"]),
  ]

  @Test(arguments: rotations.indices) func unsupportedRotationsAreRefused(_ index: Int) throws {
    let (parameters, key, architectures) = Self.rotations[index]
    let object = try JSONSerialization.jsonObject(with: Data(parameters.utf8))
    for (container, architecture) in architectures.flatMap({ [("rope_scaling", $0), ("rope_parameters", $0)] }) {
      let error = try #require(throws: RefusedConfig.self) { try SmallConfig.model(architecture, [container: object]) }
      #expect(error.keys.map(\.name) == ["\(container).\(key)"], "\(architecture) \(error)")
      // The key, or all refused keys of the object.
      for name in ["\(container).\(key)", container] {
        let plain = try SmallConfig.model(architecture, [container: object, "rope_theta": 1e6], ignoring: [name])
        #expect(plain.configReview.ignored == error.keys)
      }
    }
  }

  /// Kimi K2 declares 1 as YaRN's first bound. It is written, as the converter does; readers take 32 nevertheless.
  @Test func theBoundOfKimiK2() throws {
    let yarn: [String: Any] = [
      "type": "yarn", "factor": 4.0, "beta_fast": 1.0, "beta_slow": 1.0, "original_max_position_embeddings": 32,
    ]
    let kimi = try SmallConfig.model("DeepseekV3", ["rope_scaling": yarn])
    #expect(kimi.configReview.replacedBeta == "rope_scaling.beta_fast")
    #expect(kimi.metadata["deepseek2.rope.scaling.yarn_beta_fast"] == .float32(1))
    for architecture in ["DeepseekV2", "Llama"] {
      let error = try #require(throws: RefusedConfig.self) {
        try SmallConfig.model(architecture, ["rope_scaling": yarn])
      }
      #expect(error.keys.map(\.name) == ["rope_scaling.beta_fast"])
    }
    let usual = yarn.merging(["beta_fast": 32.0]) { $1 }
    #expect(try SmallConfig.model("DeepseekV3", ["rope_scaling": usual]).configReview.replacedBeta == nil)
  }

  /// The `default` rotation, with the base beside or inside the object.
  @Test func anIgnoredTypeLeavesTheBase() throws {
    let dynamic: [String: Any] = ["rope_type": "dynamic", "factor": 4.0, "rope_theta": 5e5]
    let model = try SmallConfig.model("Llama", ["rope_parameters": dynamic], ignoring: ["rope_parameters.rope_type"])
    #expect(model.metadata["llama.rope.freq_base"] == .float32(5e5))
    #expect(model.metadata.keys.filter { $0.contains("rope.scaling") }.isEmpty)
  }

  @Test func twoFormsOfRotationThatDiffer() throws {
    let linear: [String: Any] = ["type": "linear", "factor": 4.0]
    let other: [String: Any] = ["rope_type": "linear", "factor": 2.0, "rope_theta": 1e4]
    let both: [String: Any] = ["rope_scaling": linear, "rope_parameters": other]
    let error = try #require(throws: RefusedConfig.self) { try SmallConfig.model("Llama", both) }
    #expect(error.keys.map(\.name) == ["rope_parameters"])
    let ignoring = try SmallConfig.model("Llama", both, ignoring: ["rope_parameters"])
    #expect(ignoring.metadata["llama.rope.scaling.factor"] == .float32(4))
    let equal: [String: Any] = ["rope_type": "linear", "factor": 4, "rope_theta": 1e4]
    let metadata = try SmallConfig.metadata(
      "Llama", ["rope_scaling": linear, "rope_parameters": equal, "rope_theta": 1e4])
    #expect(metadata["llama.rope.scaling.factor"] == .float32(4))
  }

  /// Llama 3's factors are a tensor. Readers of `llama` accept it for mixtures too.
  @Test(arguments: ["Llama", "Mistral", "Mixtral"]) func factorsOfLlama3(architecture: String) throws {
    let scaling: [String: Any] = [
      "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64,
    ]
    let tensor = try SmallConfig.model(architecture, ["rope_scaling": scaling]).tensor(named: "rope_freqs.weight")
    #expect(tensor?.shape.dimensions == [8])
    #expect(throws: FormatError.self) {
      try SmallConfig.model(architecture, ["rope_scaling": scaling.filter { $0.key != "factor" }])
    }
  }

  /// YaRN's formulas: cosines and sines are multiplied by `attention_factor`, or by the ratio of the growths of the
  /// scales. A GGUF stores this factor divided by 1 + log(factor) / 10.
  @Test(arguments: ["Llama", "Qwen2", "Qwen3", "Qwen3Moe", "Mixtral"]) func magnitudeOfYarn(architecture: String) throws
  {
    let grown = 1 + 0.1 * Foundation.log(4.0)
    for (more, magnitude) in [
      ([:], grown), (["attention_factor": 1.4], 1.4), (["attention_factor": grown], grown),
      (["attention_factor": 1], 1),
      (["mscale": 1, "mscale_all_dim": 1], 1), (["mscale": 0.5, "mscale_all_dim": 0], grown),
      (["mscale": 2, "mscale_all_dim": 1], (1 + 0.2 * Foundation.log(4.0)) / grown),
    ] as [([String: Double], Double)] {
      let yarn = more.merging(["factor": 4]) { $1 } as [String: Any]
      let metadata = try SmallConfig.metadata(architecture, ["rope_scaling": yarn.merging(["type": "yarn"]) { $1 }])
      let gguf = try metadata.string("general.architecture")
      let multiple = metadata["\(gguf).rope.scaling.attn_factor"].map { Double($0.float ?? 0) } ?? 1
      #expect(abs(multiple * grown - magnitude) < 1e-6, "\(more)")
      #expect(metadata["\(gguf).rope.scaling.yarn_attn_factor"] == nil)
    }
  }

  /// Latent attention multiplies scores by the square of another growth. A reader uses `magnitude` for rotated
  /// dimensions, and the product of `magnitude` and `1 + multiplier * log(factor)` for scores.
  @Test(arguments: ["DeepseekV2", "DeepseekV3"]) func magnitudesOfLatentAttention(architecture: String) throws {
    let length = Foundation.log(40.0)
    func growth(_ scale: Double) -> Double { 1 + 0.1 * scale * length }
    for (type, more, rotated, scores) in [
      ("yarn", ["mscale": 1, "mscale_all_dim": 1], 1, growth(1)),
      ("yarn", ["mscale": 0.707, "mscale_all_dim": 0.707], 1, growth(0.707)),
      ("yarn", ["mscale": 1, "mscale_all_dim": 0.5], growth(1) / growth(0.5), growth(0.5)), ("yarn", [:], growth(1), 1),
      ("yarn", ["mscale_all_dim": 0.5], growth(1), growth(0.5)), ("yarn", ["attention_factor": 1.4], 1.4, 1),
      ("yarn", ["attention_factor": 1, "mscale_all_dim": 1], 1, growth(1)), ("linear", [:], 1, 1),
      ("linear", ["mscale_all_dim": 0.5], 1, growth(0.5)), ("default", [:], 1, 1),
    ] as [(String, [String: Double], Double, Double)] {
      let factor = type == "default" ? [:] : ["factor": 40.0]
      let rope = more.merging(factor) { $1 } as [String: Any]
      let metadata = try SmallConfig.metadata(architecture, ["rope_scaling": rope.merging(["type": type]) { $1 }])
      func number(_ key: String) -> Double? { metadata["deepseek2.rope.scaling.\(key)"]?.float.map(Double.init) }
      let multiplier = number("yarn_log_multiplier") ?? 0
      let multiple = number("attn_factor") ?? 1
      let isDefault = type == "default"
      let actual = type == "yarn" && multiplier == 0 ? growth(1) * multiple : multiple
      #expect(abs(actual - rotated) < 1e-6, "\(type) \(more)")
      let applied = type == "linear" ? growth(1) * multiple : actual
      #expect(abs(applied * (1 + (isDefault ? 0 : multiplier * length)) - scores) < 1e-6, "\(type) \(more)")
    }
  }
}

extension MetadataValue {
  fileprivate var float: Float? { if case .float32(let value) = self { value } else { nil } }
}
