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
  private let config: JSONText

  var configPath: String { directory + "/config.json" }

  init(directory: String, name: String, version: String) throws {
    self.directory = directory
    self.name = name
    self.version = version
    let path = directory + "/config.json"
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<file.size)
    config = try JSONText(bytes, path: path)
    guard let modelType = try JSONValue(bytes: bytes, path: path)["model_type"]?.string else {
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

  /// config.json with the formats of quantized tensors.
  func configuration(_ layout: MLXLayout, floats: String, isTied: Bool, provenance: [(key: String, value: String)])
    -> String
  {
    var config = config
    // Defaults of a missing key differ between readers.
    config.set("tie_word_embeddings", isTied ? "true" : "false")
    for key in ["_name_or_path", "quantization_config", "quantization"] { config.remove(key) }
    for key in ["torch_dtype", "dtype"] where config.has(key) { config.set(key, JSONText.quoted(floats)) }
    spreadRope(&config)
    // The `transformers` package takes both names, mlx_lm one.
    if modelType == "qwen3_moe", !config.has("num_experts"), let count = config["num_local_experts"] {
      config.set("num_experts", count)
    }
    let fields = provenance.map { "\(JSONText.quoted($0.key)): \(JSONText.quoted($0.value))" }
    config.set("qtool", "{" + fields.joined(separator: ", ") + "}")
    if let quantization = Self.quantization(layout) {
      config.set("quantization", quantization)
      // For pages of the hub, which look here.
      config.set("quantization_config", quantization)
    }
    return config.text
  }

  /// Version 5 of the `transformers` package writes `rope_parameters`; most classes of mlx_lm read `rope_theta` and
  /// `rope_scaling` alone, and take their defaults where these are missing.
  private func spreadRope(_ config: inout JSONText) {
    guard let text = config["rope_parameters"], var rope = try? JSONText(Array(text.utf8), path: configPath) else {
      return
    }
    if let theta = rope["rope_theta"] {
      if !config.has("rope_theta") || config["rope_theta"] == "null" { config.set("rope_theta", theta) }
      rope.remove("rope_theta")
    }
    let kind = rope["rope_type"] ?? rope["type"]
    guard let kind, kind != "\"default\"", !config.has("rope_scaling") || config["rope_scaling"] == "null" else {
      return
    }
    let fields =
      rope.fields.map { "\(JSONText.quoted($0.key)): \($0.value)" } + (rope.has("type") ? [] : ["\"type\": \(kind)"])
    config.set("rope_scaling", "{" + fields.joined(separator: ", ") + "}")
  }

  /// The commonest format, and an entry for every tensor that differs; nil for a model of floats.
  private static func quantization(_ layout: MLXLayout) -> String? {
    var counts: [String: (count: Int, format: AffineFormat)] = [:]
    func text(_ format: AffineFormat) -> String {
      "\"group_size\": \(format.group), \"bits\": \(format.bits), \"mode\": \"affine\""
    }
    for (_, format) in layout.quantized { counts[text(format), default: (0, format)].count += 1 }
    guard let base = counts.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) })?.key else { return nil }
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
