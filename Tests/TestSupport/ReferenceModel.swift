import Foundation

/// The small random models of Tests/CommandTests/Fixtures/reference.
public enum ReferenceModel {
  /// One model of each architecture.
  public static let architectures = [
    "llama2", "mistral", "mixtral", "qwen2", "qwen3", "qwen3moe", "deepseek2", "deepseek3",
  ]

  /// A copy of one of them, with its tokenizer.
  public static func copy(_ name: String) throws -> DemoCopy {
    let fixtures = Repository.root.appending(path: "Tests/CommandTests/Fixtures/reference")
    // Gemma's tokenizer has a model of its own, and Mistral's own format a file of its own.
    let isMistral = name.hasSuffix("-native") || name == "mistral-large3"
    let tokenizer = name.hasPrefix("gemma") ? "gemma/tokenizer" : isMistral ? "mistral-tokens" : "tokenizer"
    return try DemoCopy(
      [name, tokenizer].flatMap {
        try FileManager.default.contentsOfDirectory(at: fixtures.appending(path: $0), includingPropertiesForKeys: nil)
      })
  }
}
