import Checkpoint
import Files
import Foundation
import Tensors

/// The files beside the weights: config.json, those of the tokenizer, and a model card.
struct MLXFolder: Sendable {
  let directory: String
  let name: String
  let version: String
  let modelType: String
  /// Files that are copied as they are, with their sizes.
  let companions: [(name: String, bytes: Int)]
  /// The first of config.json's `architectures`.
  let architecture: String?
  /// The configuration of the language model: `text_config`, or all of config.json.
  let language: JSONValue
  private let config: JSONText

  /// The class of mlx_lm that holds the model.
  var mlxClass: MLXClass { MLXClass(modelType: modelType, text: language["model_type"]?.string) }

  var configPath: String { directory + "/config.json" }

  init(directory: String, name: String, version: String) throws {
    self.directory = directory
    self.name = name
    self.version = version
    let path = directory + "/config.json"
    guard FileManager.default.fileExists(atPath: path) else {
      throw FormatError(
        .missing, path: path, "does not exist, and mlx_lm needs it",
        hint: "Mistral's own format has none: use the model's Hugging Face form")
    }
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<file.size)
    config = try JSONText(bytes, path: path)
    let root = try JSONValue(bytes: bytes, path: path)
    architecture = root["architectures"]?.array?.first?.string
    language = root["text_config"].flatMap { $0.object == nil ? nil : $0 } ?? root
    guard let modelType = root["model_type"]?.string else {
      throw FormatError(
        path: path, subject: "key model_type", "is missing", hint: "mlx_lm chooses the model's class by it")
    }
    self.modelType = modelType
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    companions = try names.filter(Self.isCopied).compactMap { name in
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: directory + "/" + name, isDirectory: &isDirectory),
        !isDirectory.boolValue
      else { return nil }
      return (name, try PositionedFile(path: directory + "/" + name).size)
    }
  }

  /// Tokenizer, templates, generation defaults and code. What belongs to the source's weights is left out.
  private static func isCopied(_ name: String) -> Bool {
    if name == "config.json" || name.hasSuffix(".index.json") || name.hasPrefix(".") { return false }
    if ["adapter_config.json", "quantize_config.json", "hf_quant_config.json", "recipe.yaml"].contains(name) {
      return false
    }
    return [".json", ".jsonl", ".jinja", ".txt", ".py", ".tiktoken", ".model"].contains { name.hasSuffix($0) }
  }

  /// config.json with the formats of quantized tensors, and with what mlx_lm's class needs.
  func configuration(
    _ layout: MLXLayout, floats: String, isTied: Bool, _ arguments: MLXClassArguments,
    provenance: [(key: String, value: String)]
  ) -> String {
    var config = config
    // Defaults of a missing key differ between readers.
    config.set("tie_word_embeddings", isTied ? "true" : "false")
    if let text = config["text_config"], var inner = try? JSONText(Array(text.utf8), path: configPath) {
      inner.set("tie_word_embeddings", isTied ? "true" : "false")
      arguments.complete(&inner, modelType: modelType, floats: floats, path: configPath)
      config.set("text_config", inner.text)
      MLXClassArguments.none.complete(&config, modelType: modelType, floats: floats, path: configPath)
      // The classes replace the inner number by this one, or by a default.
      if ["gemma3", "gemma4"].contains(modelType), let count = inner["vocab_size"] { config.set("vocab_size", count) }
    } else {
      arguments.complete(&config, modelType: modelType, floats: floats, path: configPath)
    }
    // Towers are left out.
    for key in ["vision_config", "audio_config"] { config.remove(key) }
    if modelType.hasPrefix("qwen3_5"), modelType.hasSuffix("_text") {
      config.set("model_type", JSONText.quoted(String(modelType.dropLast("_text".count))))
    }
    for key in ["_name_or_path", "quantization_config", "quantization"] { config.remove(key) }
    let fields = provenance.map { "\(JSONText.quoted($0.key)): \(JSONText.quoted($0.value))" }
    config.set("qtool", "{" + fields.joined(separator: ", ") + "}")
    if let quantization = Self.quantization(layout) {
      config.set("quantization", quantization)
      // For pages of the hub, which look here.
      config.set("quantization_config", quantization)
    }
    return config.text
  }

  /// The commonest format, and an entry for every tensor that differs; nil for a model of floats.
  private static func quantization(_ layout: MLXLayout) -> String? {
    func text(_ format: MLXLayout.Format) -> String {
      "\"group_size\": \(format.group), \"bits\": \(format.bits), \"mode\": \(JSONText.quoted(format.mode))"
    }
    var counts: [String: Int] = [:]
    for (_, format) in layout.quantized { counts[text(format), default: 0] += 1 }
    guard let base = counts.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key else { return nil }
    let entries =
      layout.quantized.filter { text($0.format) != base }
      .map { "        \(JSONText.quoted($0.module)): {\(text($0.format))}" }
      + layout.floatMatrices.map { "        \(JSONText.quoted($0)): false" }
    let lines = base.split(separator: ", ").map { "        \($0)" } + entries
    return "{\n" + lines.joined(separator: ",\n") + "\n    }"
  }

  /// README.md
  func card(bytes: Int, parameters: Int, formats: [(name: String, weights: Int)]) -> String {
    let bits = Double(bytes * 8) / Double(max(1, parameters))
    let total = max(1, formats.reduce(0) { $0 + $1.weights })
    let rows = formats.map { format in
      "| \(format.name) | \(Self.decimal(Double(format.weights) * 100 / Double(total), 1)) % |"
    }
    return """
      ---
      library_name: mlx
      pipeline_tag: text-generation
      base_model: \(name)
      tags:
      - mlx
      ---

      # \(name) for MLX

      Quantized by qtool \(version): \(Self.decimal(bits, 3)) bits per weight.

      | Format (bits/group) | Weights |
      |---|---:|
      \(rows.joined(separator: "\n"))

      ```
      mlx_lm.generate --model PATH --prompt "Hello"
      ```

      """
  }

  private static func decimal(_ value: Double, _ digits: Int) -> String {
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((value * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}
