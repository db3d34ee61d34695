import Files
import GGUF
import Tokenizers

/// vocab.json and merges.txt: the files of byte-level tokenizers from before tokenizer.json.
///
/// The files do not define the splitter. The tokenizer's class does; tokenizer_config.json names it, or config.json's
/// `model_type` implies it.
struct VocabularyFiles {
  let tokenizer: TokenizerJSON
  /// The special tokens of the class, by kind.
  let defaultNames: [String: String]

  private struct Class {
    let splitter: Splitter
    var composes = false
    let defaultNames: [String: String]
  }

  /// The tokenizer classes of `transformers`, without the suffix `Fast`.
  private static let classes: [String: Class] = {
    let end = "<|endoftext|>"
    let gpt2 = ["bos": end, "eos": end, "unk": end]
    let qwen = ["eos": end, "unk": end, "pad": end]
    return [
      "GPT2Tokenizer": Class(splitter: .gpt2, defaultNames: gpt2),
      "CodeGenTokenizer": Class(splitter: .gpt2, defaultNames: gpt2),
      "GPTNeoXTokenizer": Class(
        splitter: .gpt2, composes: true, defaultNames: gpt2.merging(["pad": "<|padding|>"]) { $1 }),
      "Qwen2Tokenizer": Class(splitter: .qwen2, composes: true, defaultNames: qwen),
      "Qwen3_5Tokenizer": Class(splitter: .qwen35, composes: true, defaultNames: qwen),
    ]
  }()

  /// The default class of a model type.
  private static let classOfType = [
    "gpt2": "GPT2Tokenizer", "qwen2": "Qwen2Tokenizer", "qwen2_moe": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer",
    "qwen3_moe": "Qwen2Tokenizer",
  ]

  /// Returns nil if vocab.json does not exist.
  ///
  /// - Parameter pre: llama.cpp's name of the splitter, for an unknown class.
  init?(_ files: TokenizerFiles, _ config: Config, pre: String?) throws {
    guard let path = files.path("vocab.json") else { return nil }
    guard let mergesPath = files.path("merges.txt") else {
      throw FormatError(
        .missing, path: files.directory + "/merges.txt", "is missing: vocab.json alone is not a tokenizer")
    }
    let name = (files.config?["tokenizer_class"] ?? config["tokenizer_class"])?.string
    let named = name.map { $0.hasSuffix("Fast") ? String($0.dropLast(4)) : $0 }
    let implied = config["model_type"]?.string.flatMap { Self.classOfType[$0] }
    let tokenizerClass = (named ?? implied).flatMap { Self.classes[$0] }
    defaultNames = tokenizerClass?.defaultNames ?? [:]
    let given = pre.flatMap { PreTokenizer(name: $0) }
    guard tokenizerClass != nil || pre != nil else {
      throw FormatError(
        topic: .unknownSplitter, path: path,
        "does not say how text is split" + (name.map { ", nor does the class \($0)" } ?? ""),
        hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
    }
    let composes = given?.composes ?? tokenizerClass?.composes ?? false
    let prefix = files.config?["add_prefix_space"]?.bool ?? false
    let steps = tokenizerClass?.splitter.steps?.map { Self.value($0, prefix: prefix) }
    tokenizer = try TokenizerJSON(
      vocabularyPath: path, mergesPath: mergesPath, merges: try Self.merges(mergesPath),
      normalizer: composes ? .object(["type": .string("NFC")]) : nil,
      preTokenizer: steps.map { .object(["type": .string("Sequence"), "pretokenizers": .array($0)]) },
      fields: ["ignore_merges": .bool(given?.ignoresMerges ?? false)])
  }

  /// The JSON of a step in tokenizer.json.
  private static func value(_ step: SplitStep, prefix: Bool) -> JSONValue {
    switch step {
    case .digits: .object(["type": .string("Digits"), "individual_digits": .bool(true)])
    case .byteLevel(let regex):
      .object(["type": .string("ByteLevel"), "add_prefix_space": .bool(prefix), "use_regex": .bool(regex)])
    case .split(let pattern):
      .object([
        "type": .string("Split"), "pattern": .object(["Regex": .string(pattern)]), "behavior": .string("Isolated"),
        "invert": .bool(false),
      ])
    }
  }

  /// Reads merges.txt: one pair per line, separated by a blank, after an optional line `#version`.
  static func merges(_ path: String) throws -> [(left: String, right: String)] {
    var merges: [(left: String, right: String)] = []
    let lines = try TextFile(path: path, limit: 256 << 20).text.utf8.split(
      separator: 0x0A, omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      if line.isEmpty || line.starts(with: "#version".utf8) { continue }
      let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        // Other comments are allowed only in the first line.
        if index == 0, line.first == UInt8(ascii: "#") { continue }
        throw FormatError(path: path, subject: "line \(index + 1)", "is not a pair of tokens")
      }
      merges.append((String(Substring(parts[0])), String(Substring(parts[1]))))
    }
    return merges
  }
}
