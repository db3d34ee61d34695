/// The meaning of a GGUF's `tokenizer.ggml.pre`: a splitter, and settings that models of this name share.
public struct PreTokenizer: Sendable {
  /// The pattern that cuts text into words.
  public let splitter: Splitter
  /// Whether a word that is a token is used without merging its bytes.
  public var ignoresMerges = false
  /// Whether text is composed (Unicode's NFC) before it is split.
  public var composes = false
  /// Whether BOS is added if the model's metadata does not decide.
  package var addsBOS = false

  /// The GGUF key that overrides ``ignoresMerges``.
  package static let ignoresMergesKey = "tokenizer.ggml.ignore_merges"
  /// The GGUF key that overrides ``composes``.
  package static let composesKey = "tokenizer.ggml.normalizer.nfc"

  init(_ splitter: Splitter, ignoresMerges: Bool = false, composes: Bool = false, addsBOS: Bool = false) {
    self.splitter = splitter
    self.ignoresMerges = ignoresMerges
    self.composes = composes
    self.addsBOS = addsBOS
  }

  /// The pre-tokenizer with one of llama.cpp's names; nil if the name is unknown.
  public init?(name: String) {
    guard let found = Self.byName[name] else { return nil }
    self = found
  }

  /// All known names, sorted.
  public static let names: [String] = byName.keys.sorted()

  /// A name for a splitter, preferably one with the given ``ignoresMerges``; nil if the splitter has no name.
  public static func name(for splitter: Splitter, ignoresMerges: Bool? = nil) -> String? {
    let candidates = families.filter { $0.tokenizer.splitter == splitter }
    let matching = candidates.first { $0.tokenizer.ignoresMerges == ignoresMerges }
    return (matching ?? candidates.first)?.names.first
  }

  /// llama.cpp's names. The first name of a family is the one written to a GGUF.
  private static let families: [(tokenizer: PreTokenizer, names: [String])] = [
    (
      PreTokenizer(.llama, ignoresMerges: true, addsBOS: true),
      ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"]
    ),
    (PreTokenizer(.llama), ["smaug-bpe", "dbrx", "chatglm-bpe"]),
    (PreTokenizer(.llama, ignoresMerges: true), ["glm4", "glm5"]),
    (PreTokenizer(.qwen2, composes: true), ["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"]),
    (PreTokenizer(.qwen2), ["stablelm2", "hunyuan", "solar-open", "grok-2", "bailingmoe", "bailingmoe2", "llada-moe"]),
    (PreTokenizer(.qwen35), ["qwen35"]),
    (
      PreTokenizer(.gpt2),
      [
        "gpt-2", "phi-2", "mpt", "jais", "trillion", "granite-docling", "exaone4", "gigachat", "a.x-4.0", "mellum",
        "modern-bert",
      ]
    ),
    (PreTokenizer(.gpt2, composes: true), ["olmo"]),
    (
      PreTokenizer(.digits), ["starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"]
    ),
    (PreTokenizer(.digits, composes: true), ["command-r"]),
    (PreTokenizer(.deepSeekLLM), ["deepseek-llm"]),
    (PreTokenizer(.deepSeekCoder), ["deepseek-coder"]),
    (PreTokenizer(.deepSeekV3), ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"]),
    (PreTokenizer(.spark), ["spark2_5"]),
    (PreTokenizer(.afmoe), ["afmoe"]),
    (PreTokenizer(.kimiK2), ["kimi-k2"]),
    (PreTokenizer(.laguna), ["laguna"]),
    (PreTokenizer(.seedCoder), ["seed-coder"]),
    (PreTokenizer(.miniCPM5, ignoresMerges: true), ["minicpm5"]),
    (PreTokenizer(.tinyAya), ["tiny_aya", "cohere2moe"]),
    (PreTokenizer(.exaoneMoE), ["exaone-moe"]),
    (PreTokenizer(.youtu, ignoresMerges: true), ["youtu"]),
    (PreTokenizer(.superBPE), ["superbpe"]),
    (PreTokenizer(.tekken, ignoresMerges: true, addsBOS: true), ["tekken"]),
    (PreTokenizer(.gpt4o), ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"]),
    (PreTokenizer(.unnamed), ["default"]),
    (PreTokenizer(.falcon), ["falcon"]),
  ]

  private static let byName: [String: PreTokenizer] = Dictionary(
    uniqueKeysWithValues: families.flatMap { family in family.names.map { ($0, family.tokenizer) } })
}
