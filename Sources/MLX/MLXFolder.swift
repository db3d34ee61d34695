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
  ///
  /// - Parameter missing: keys that mlx_lm reads where the `transformers` package has others.
  func configuration(
    _ layout: MLXLayout, floats: String, isTied: Bool, missing: [(key: String, value: Int)],
    provenance: [(key: String, value: String)]
  ) -> String {
    var config = config
    // Defaults of a missing key differ between readers.
    config.set("tie_word_embeddings", isTied ? "true" : "false")
    if let text = config["text_config"], var inner = try? JSONText(Array(text.utf8), path: configPath) {
      inner.set("tie_word_embeddings", isTied ? "true" : "false")
      complete(&inner, floats, missing)
      config.set("text_config", inner.text)
    }
    complete(&config, floats, missing)
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

  /// Sets what is the same in the configuration of a larger model and in that of its language model.
  private func complete(_ config: inout JSONText, _ floats: String, _ missing: [(key: String, value: Int)]) {
    for (key, value) in missing where config.has("hidden_size") && (!config.has(key) || config[key] == "null") {
      config.set(key, "\(value)")
    }
    for key in ["torch_dtype", "dtype"] where config.has(key) { config.set(key, JSONText.quoted(floats)) }
    // Blocks for multi-token prediction are not written.
    for key in ["mtp_num_hidden_layers", "num_nextn_predict_layers"] where config.has(key) { config.set(key, "0") }
    spreadRope(&config)
    guard config.has("hidden_size") else { return }
    // The `transformers` package takes both names, mlx_lm one.
    if ["qwen3_moe", "qwen3_vl_moe"].contains(modelType), !config.has("num_experts"),
      let count = config["num_local_experts"]
    {
      config.set("num_experts", count)
    }
    for (key, value) in Self.required[modelType] ?? [] where !config.has(key) { config.set(key, value) }
  }

  /// Keys without which a class of mlx_lm does not start, and the values that the `transformers` package gives missing ones.
  private static let required: [String: [(key: String, value: String)]] = [
    "glm4_moe": [("rope_scaling", "null")], "minimax_m2": [("shared_intermediate_size", "0")],
    "qwen3_vl_moe": [("norm_topk_prob", "true"), ("mlp_only_layers", "[]"), ("decoder_sparse_step", "1")],
    "glm_moe_dsa": [("moe_layer_freq", "1")],
  ]

  /// Version 5 of the `transformers` package writes `rope_parameters`; most classes of mlx_lm read `rope_theta` and
  /// `rope_scaling` alone, and take their defaults where these are missing.
  private func spreadRope(_ config: inout JSONText) {
    func object(_ text: String?) -> JSONText? { text.flatMap { try? JSONText(Array($0.utf8), path: configPath) } }
    guard let all = object(config["rope_parameters"]) else { return }
    // Some have one for each kind of layers. Gemma 4's class reads these, the others only the older keys.
    if object(all["full_attention"]) != nil {
      guard !modelType.hasPrefix("gemma4") else { return }
      config.remove("rope_parameters")
    }
    if let sliding = object(all["sliding_attention"]), let theta = sliding["rope_theta"],
      modelType.hasPrefix("gemma3"), !config.has("rope_local_base_freq")
    {
      config.set("rope_local_base_freq", theta)
    }
    var rope = object(all["full_attention"]) ?? all
    if let theta = rope["rope_theta"] {
      if !config.has("rope_theta") || config["rope_theta"] == "null" { config.set("rope_theta", theta) }
      rope.remove("rope_theta")
    }
    if ["glm4_moe", "phi3", "qwen3_next"].contains(modelType), let factor = rope["partial_rotary_factor"],
      !config.has("partial_rotary_factor")
    {
      config.set("partial_rotary_factor", factor)
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
