import Tensors

/// A build of llama.cpp that is known to read a type or an architecture.
///
/// A build number counts commits. Pull requests tell when something was merged, but not the number of that build. Each
/// number here is the first later build that a public source dates or shows running it, so slightly older builds may
/// read it too. Sources by number:
///
/// - b1884: the log of 16 January 2024 in llama.cpp #4856 runs IQ2_XS
/// - b2382, b4371: dated 10 March and 20 December 2024 in the recipe of Julia's llama_cpp_jll
/// - b2074: the log of 16 February 2024 in llama.cpp #5518, a build of 5 February
/// - b2710: the release with Llama 3, April 2024; b2956: the log of 22 May 2024 in llama.cpp #7478
/// - b4933: packaged by xllamacpp in March 2025; b5215: the log of 29 April 2025 in llama.cpp #13168 runs qwen3moe
/// - b6096: the release that public gpt-oss files of type MXFP4 were made with, August 2025
/// - b6900: the release of llama.cpp #16780, October 2025
/// - b7193: packaged by w64devkit #313 for Qwen 3 Next, 29 November 2025
/// - b8156: xllamacpp #114 of 25 February 2026 updates to it for Qwen 3.5
/// - b8639: fragcolor-xyz/shards #1261 of 2 April 2026 updates to it for Gemma 4, which b8635 does not read
/// - b10269: a fork's release of 6 August 2026 (atomic-llama-cpp-turboquant #70), without Muse Glimmer
///
/// Architectures without such a source have the date of the source that lists them (``LlamaArchitectures``).
package struct LlamaBuild: Sendable, Hashable, Comparable {
  package let number: Int
  let date: String
  /// The pull request that added it.
  let pullRequest: Int?

  /// The build in a sentence.
  var description: String {
    switch number {
    case .max: "a build of \(date)"
    case 0: "build any with GGUF (\(date))"
    default: "build b\(number) (\(date))"
    }
  }

  package static func < (lhs: LlamaBuild, rhs: LlamaBuild) -> Bool { lhs.number < rhs.number }

  private init(_ number: Int, _ date: String, _ pullRequest: Int? = nil) {
    self.number = number
    self.date = date
    self.pullRequest = pullRequest
  }

  /// Every build since the format was introduced in August 2023.
  private static let firstGGUF = LlamaBuild(0, "since August 2023")

  init?(type: GGMLType) {
    switch type {
    case .f32, .f16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .i8, .i16, .i32:
      self = Self.firstGGUF
    case .iq2_xxs: self.init(1884, "January 2024", 4773)
    case .iq2_xs: self.init(1884, "January 2024", 4856)
    case .iq3_xxs: self.init(2074, "February 2024", 5196)
    case .iq1_s: self.init(2382, "March 2024", 5453)
    case .iq4_nl: self.init(2382, "March 2024", 5590)
    case .iq3_s: self.init(2382, "March 2024", 5676)
    case .iq2_s: self.init(2382, "March 2024", 5721)
    case .iq4_xs: self.init(2382, "March 2024", 5747)
    case .iq1_m, .i64, .f64: self.init(2710, "April 2024", 6302)
    case .bf16: self.init(2956, "May 2024", 6412)
    case .tq1_0, .tq2_0: self.init(4371, "December 2024", 8151)
    case .mxfp4: self.init(6096, "August 2025", 15091)
    default: return nil
    }
  }

  /// - Parameters:
  ///   - gating: `expert_gating_func`; 2 is the sigmoid of DeepSeek-V3.
  ///   - isTempered: whether scores grow with the position, as those of Mistral Large 3. Older builds ignore the key.
  init?(architecture: String, isOldLatent: Bool = false, gating: Int? = nil, isTempered: Bool = false) {
    switch architecture {
    case "llama": self = Self.firstGGUF
    case "gemma2": self.init(4371, "December 2024", 8156)
    case "cohere2": self.init(4933, "March 2025", 10900)
    case "lfm2": self.init(6096, "August 2025", 14620)
    case "lfm2moe": self.init(6900, "October 2025", 16464)
    case "granite": self.init(4371, "December 2024", 9412)
    case "phi3": self.init(4371, "December 2024", 7225)
    case "glm4moe": self.init(6096, "August 2025", 14939)
    case "smollm3": self.init(6096, "August 2025", 14581)
    case "ernie4_5": self.init(6096, "August 2025", 14408)
    case "ernie4_5-moe": self.init(6096, "August 2025", 14658)
    case "qwen3vl", "qwen3vlmoe": self.init(6900, "October 2025", 16780)
    case "seed_oss": self.init(6900, "October 2025", 15490)
    // With the windows of OLMo 3, which older builds ignore.
    case "olmo2": self.init(6900, "October 2025", 16015)
    case "minimax-m2": self.init(7193, "November 2025", 16831)
    case "mistral3": self.init(8156, "February 2026", 17644)
    case "glm-dsa": self.init(8156, "February 2026", 19460)
    case "mistral4": self.init(10269, "August 2026", 20649)
    case "qwen2": self.init(2074, "February 2024", 5037)
    case "qwen3", "qwen3moe": self.init(5215, "April 2025", 12828)
    case "gpt-oss": self.init(6096, "August 2025", 15091)
    case "gemma3": self.init(4933, "March 2025", 12343)
    case "qwen3next": self.init(7193, "November 2025", 16095)
    case "qwen35", "qwen35moe": self.init(8156, "February 2026", 19468)
    case "gemma4": self.init(8639, "April 2026", 21309)
    case "deepseek2" where isTempered: self.init(8156, "February 2026", 17730)
    case "deepseek2" where !isOldLatent: self.init(5215, "April 2025", 12801)
    case "deepseek2" where gating == 2: self.init(4933, "March 2025", 11049)
    case "deepseek2": self.init(4371, "December 2024", 7519)
    case _ where LlamaArchitectures.names.contains(architecture): self.init(.max, LlamaArchitectures.date)
    default: return nil
    }
  }
}
