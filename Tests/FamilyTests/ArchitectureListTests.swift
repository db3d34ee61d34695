import Checkpoint
import Foundation
import MLX
import Plan
import TestSupport
import Testing
import Transformer

/// The documentation's lists of architectures are those of the registries.
@Suite struct ArchitectureListTests {
  private static let documents = Repository.root.appending(path: "Documentation")

  /// GGUF's names of the models that MLX knows by `model_type`.
  private static let namesByType: [String: [String]] = [
    "llama": ["llama"], "mistral": ["llama"], "mixtral": ["llama"], "qwen2": ["qwen2"], "qwen3": ["qwen3"],
    "qwen3_moe": ["qwen3moe"], "deepseek_v2": ["deepseek2"], "deepseek_v3": ["deepseek2"], "kimi_k2": ["deepseek2"],
    "gemma3": ["gemma3"], "gemma3_text": ["gemma3"], "gemma4": ["gemma4"], "gemma4_text": ["gemma4"],
    "qwen3_5": ["qwen35"], "qwen3_5_text": ["qwen35"], "qwen3_5_moe": ["qwen35moe"],
    "qwen3_5_moe_text": ["qwen35moe"], "gpt_oss": ["gpt-oss"], "seed_oss": ["seed_oss"], "smollm3": ["smollm3"],
    "granite": ["granite"], "olmo2": ["olmo2"], "olmo3": ["olmo2"], "ernie4_5": ["ernie4_5"], "phi3": ["phi3"],
    "ministral3": ["mistral3"], "mistral3": ["mistral3", "mistral4"], "qwen3_vl": ["qwen3vl"],
    "qwen3_vl_moe": ["qwen3vlmoe"], "glm4_moe": ["glm4moe"], "glm4_moe_lite": ["deepseek2"],
    "minimax": ["minimax-m2"], "minimax_m2": ["minimax-m2"], "deepseek_v32": ["deepseek32"],
    "glm_moe_dsa": ["glm-dsa"], "qwen3_next": ["qwen3next"],
  ]
  private static let ofMLX = Set(namesByType.values.joined())

  @Test func everyTypeOfMLXHasAName() { #expect(Set(modelTypesOfMLX) == Set(Self.namesByType.keys)) }

  private static func row(_ name: String) -> String {
    let classes = readArchitectures.filter { $0.gguf == name }.flatMap(\.names)
    let converted = classes.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    let isIndexed = ["glm-dsa", "deepseek32"].contains(name)
    let forward =
      !Decoder.architectures.contains(name) ? "no" : isIndexed ? "up to the indexer's selection" : "yes"
    let isCompared = StockFixture.all.values.contains { $0.architecture == name }
    return
      "| \(name) | \(converted.isEmpty ? "no" : converted.joined(separator: ", ")) | \(forward) "
      + "| \(ofMLX.contains(name) ? "yes" : "no") | \(isCompared ? "compared" : "yes") |"
  }

  private static var list: String {
    """
    # Architectures

    The architectures of llama.cpp's source of 1 October 2026, by `general.architecture`, with what qtool does for each:

    - *Convert*: the classes in config.json that are read, and converted to a GGUF of that architecture.
    - *Forward*: perplexity, drift, importance, sensitivities and error feedback.
    - *MLX*: directories for MLX are written and read ([mlx.md](mlx.md) lists the models).
    - *Quantize*: GGUFs are quantized by stock mix, recipe, or to a size. Without a forward pass, importance is that of
      llama-imatrix or none, and a size is reached by what other models' tensors are worth. "compared": a test compares the
      types of stock mixes with llama-quantize's. The others follow the same rules, which depend on names and shapes.

    [converting.md](converting.md) has the features and refused keys of those that are converted. A GGUF of an architecture
    that is not listed is quantized by the same rules. `QTOOL_WRITE_ARCHITECTURES=1 swift test --filter ArchitectureList`
    writes this page.

    | GGUF | Convert | Forward | MLX | Quantize |
    |---|---|---|---|---|

    """
      + LlamaArchitectures.names.sorted().map(row).joined(separator: "\n") + "\n"
  }

  /// Documentation/architectures.md. With QTOOL_WRITE_ARCHITECTURES=1 the page is written instead.
  @Test func thePageIsTheRegistry() throws {
    let url = Self.documents.appending(path: "architectures.md")
    if ProcessInfo.processInfo.environment["QTOOL_WRITE_ARCHITECTURES"] != nil {
      try Self.list.write(to: url, atomically: true, encoding: .utf8)
    }
    let page = try String(contentsOf: url, encoding: .utf8)
    let (found, expected) = (page.split(separator: "\n"), Self.list.split(separator: "\n"))
    let first = zip(found, expected).first { $0 != $1 }
    #expect(page == Self.list, "QTOOL_WRITE_ARCHITECTURES=1 writes it; first difference: \(String(describing: first))")
  }

  /// llama.cpp reads whatever has a forward pass or is converted.
  @Test func namesAreLlamas() {
    #expect(LlamaArchitectures.names.isSuperset(of: Decoder.architectures))
    #expect(LlamaArchitectures.names.isSuperset(of: readArchitectures.map(\.gguf)))
  }

  /// The table of converting.md has every class that is read, with its GGUF and whether there is a forward pass.
  @Test func theTableOfConversionsIsComplete() throws {
    let text = try String(contentsOf: Self.documents.appending(path: "converting.md"), encoding: .utf8)
    let section = try #require(
      text.components(separatedBy: "## Architectures").last?.components(separatedBy: "\n## ")[0])
    var listed: [String: Set<String>] = [:]
    for line in section.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      for name in cells[0].matches(of: /[A-Z]\w+For(?:CausalLM|ConditionalGeneration)/) {
        listed[String(name.output), default: []].formUnion(cells[1].split(separator: ", ").map(String.init))
      }
      guard cells[0].contains("For") else { continue }
      for name in cells[1].split(separator: ", ").map(String.init) {
        #expect((cells[3] != "no") == Decoder.architectures.contains(name), "\(line)")
        if cells[5] == "yes" || cells[5] == "no" {
          #expect((cells[5] == "yes") == Self.ofMLX.contains(name), "\(line)")
        }
      }
    }
    for (gguf, names) in readArchitectures {
      for name in names { #expect(listed[name]?.contains(gguf) == true, "\(name)") }
    }
    #expect(Set(listed.keys) == Set(readArchitectures.flatMap(\.names)))
  }
}
