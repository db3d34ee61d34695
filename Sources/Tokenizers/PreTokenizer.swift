/// What a GGUF's `tokenizer.ggml.pre` stands for: a splitter, and habits that models of that name share.
public struct PreTokenizer: Sendable {
  public let splitter: Splitter
  /// A word that is a token is not merged from its bytes.
  public var ignoresMerges = false
  /// Text is composed (Unicode's NFC) before it is split.
  public var composes = false
  /// Whether BOS goes in front where the model doesn't say.
  package var addsBOS = false

  /// Keys of a GGUF that say otherwise than its name, where a tokenizer.json does.
  public static let ignoresMergesKey = "tokenizer.ggml.ignore_merges"
  public static let composesKey = "tokenizer.ggml.normalizer.nfc"

  init(_ splitter: Splitter, ignoresMerges: Bool = false, composes: Bool = false, addsBOS: Bool = false) {
    self.splitter = splitter
    self.ignoresMerges = ignoresMerges
    self.composes = composes
    self.addsBOS = addsBOS
  }

  public init?(name: String) {
    guard let known = Self.known[name] else { return nil }
    self = known
  }

  /// All names, sorted.
  public static let names: [String] = known.keys.sorted()

  /// The name for a splitter, and for how it merges where that is given and a name has it.
  public static func name(for splitter: Splitter, ignoresMerges: Bool? = nil) -> String? {
    let candidates = families.filter { $0.tokenizer.splitter == splitter }
    let alike = candidates.first { $0.tokenizer.ignoresMerges == ignoresMerges }
    return (alike ?? candidates.first)?.names.first
  }

  /// llama.cpp's names; the first of a family is the one that is written.
  private static let families: [(tokenizer: PreTokenizer, names: [String])] = [
    (
      PreTokenizer(.llama, ignoresMerges: true, addsBOS: true),
      ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"]
    ),
    (PreTokenizer(.llama), ["smaug-bpe", "dbrx", "chatglm-bpe"]),
    (PreTokenizer(.llama, ignoresMerges: true), ["glm4", "glm5"]),
    (PreTokenizer(.qwen2, composes: true), ["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"]),
    (PreTokenizer(.qwen2), ["stablelm2", "hunyuan", "solar-open", "grok-2"]),
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
    (PreTokenizer(.deepSeekV3), ["deepseek-v3", "hunyuan-dense", "joyai-llm"]),
    (PreTokenizer(.tekken, ignoresMerges: true, addsBOS: true), ["tekken"]),
    (PreTokenizer(.gpt4o), ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"]),
    (PreTokenizer(.unnamed), ["default"]),
    (PreTokenizer(.falcon), ["falcon"]),
  ]

  private static let known: [String: PreTokenizer] = Dictionary(
    uniqueKeysWithValues: families.flatMap { family in family.names.map { ($0, family.tokenizer) } })
}
