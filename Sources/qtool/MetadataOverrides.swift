import Files
import GGUF
import Quantize
import Tokenizers
import Transformer

/// Metadata keys that the user sets: `KEY=TYPE:VALUE`. They are checked as readers of the file would check them, alone and
/// together, before anything is written.
struct MetadataOverrides {
  typealias Override = (key: String, value: MetadataValue)

  let texts: [String]

  /// The values, in the types of the model's own values.
  ///
  /// - Throws: ``Failure`` if a reader would refuse the file.
  func values(for source: any ModelSource) throws -> [Override] {
    var metadata = source.metadata
    var values: [Override] = []
    for text in texts {
      let (key, given) = try Self.parsed(text)
      guard !values.contains(where: { $0.key == key }) else { throw Self.failure(text, "key \(key) is given twice") }
      if let reason = Self.reserved[key] { throw Self.failure(text, "key \(key) \(reason)") }
      let value = try Self.typed(given, key, metadata[key], text)
      if key == "general.alignment" {
        if let fault = value.alignmentFault { throw Self.failure(text, "key \(key) \(fault)") }
        if case .uint32(..<8) = value { throw Self.failure(text, "key \(key) must be a multiple of 8") }
      }
      values.append((key, value))
      metadata[key] = value
    }
    guard !values.isEmpty else { return [] }
    try check(metadata, of: source, keys: values.map(\.key))
    return values
  }

  static func failure(_ text: String, _ reason: String, hint: String? = nil) -> Failure {
    // A key may be as long as a command line.
    Failure(.usage, "--override-kv \(text.prefix(120)): \(reason)", hint: hint)
  }

  // MARK: one key

  /// A value as given, before its stored width is known.
  private enum Given {
    case int(Int)
    case float(Double)
    case bool(Bool)
    case string(String)

    var name: String {
      switch self {
      case .int: "int"
      case .float: "float"
      case .bool: "bool"
      case .string: "str"
      }
    }
  }

  private static func parsed(_ text: String) throws -> (key: String, value: Given) {
    let hint = "write KEY=TYPE:VALUE; types are int, float, bool and str"
    guard let equals = text.firstIndex(of: "="), let colon = text[equals...].firstIndex(of: ":") else {
      throw failure(text, "is not KEY=TYPE:VALUE", hint: hint)
    }
    let key = String(text[..<equals])
    guard !key.isEmpty else { throw failure(text, "names no key", hint: hint) }
    guard key.utf8.count < 1 << 16 else {
      throw failure(text, "the key has \(key.utf8.count) bytes, but at most 65535 are allowed")
    }
    guard key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw failure(text, "a key consists of ASCII letters, digits, points and underscores")
    }
    let type = text[text.index(after: equals)..<colon]
    let value = String(text[text.index(after: colon)...])
    let given: Given? =
      switch type {
      case "int": Int(value).map { .int($0) }
      case "float": Double(value).flatMap { Float($0).isFinite ? .float($0) : nil }
      case "bool": Bool(value).map { .bool($0) }
      case "str": .string(value.asStored)
      default: throw failure(text, "there is no type \(type)", hint: hint)
      }
    guard let given else {
      let kinds = ["int": "an integer", "float": "a finite float", "bool": "true or false"]
      throw failure(text, "\(value.debugDescription) is not \(kinds[String(type)] ?? "a value")")
    }
    return (key, given)
  }

  private static let reserved = [
    "split.no": "describes shards; use qtool split",
    "split.count": "describes shards; use qtool split",
    "split.tensors.count": "describes shards; use qtool split",
    "quantize.source.fingerprint": "is qtool's record of the source",
    "quantize.imatrix.fingerprint": "is qtool's record of the importance matrix",
  ]

  /// The value in the type that the model stores, or that readers expect if the model lacks the key.
  private static func typed(_ given: Given, _ key: String, _ stored: MetadataValue?, _ text: String) throws
    -> MetadataValue
  {
    let kind = stored ?? expected(key)
    func refusal(_ wanted: String, _ type: String) -> Failure {
      failure(text, "key \(key) is \(wanted), and readers refuse another type", hint: "write \(key)=\(type):VALUE")
    }
    func integer<T: FixedWidthInteger>(_ make: (T) -> MetadataValue, _ wanted: String) throws -> MetadataValue {
      guard case .int(let number) = given else { throw refusal("an integer (\(wanted))", "int") }
      guard let value = T(exactly: number) else {
        throw failure(text, "key \(key) is \(wanted), and \(number) is out of its range")
      }
      return make(value)
    }
    switch kind {
    case .uint8: return try integer(MetadataValue.uint8, "u8")
    case .int8: return try integer(MetadataValue.int8, "i8")
    case .uint16: return try integer(MetadataValue.uint16, "u16")
    case .int16: return try integer(MetadataValue.int16, "i16")
    case .uint32: return try integer(MetadataValue.uint32, "u32")
    case .int32: return try integer(MetadataValue.int32, "i32")
    case .uint64: return try integer(MetadataValue.uint64, "u64")
    case .int64: return try integer(MetadataValue.int64, "i64")
    case .float32, .float64:
      guard case .float(let number) = given else { throw refusal("a float", "float") }
      if case .float64 = kind { return .float64(number) }
      return .float32(Float(number))
    case .bool:
      guard case .bool(let flag) = given else { throw refusal("a bool", "bool") }
      return .bool(flag)
    case .string:
      guard case .string(let string) = given else { throw refusal("a string", "str") }
      return .string(string)
    case .array:
      // A number per layer may become one for all layers.
      let isPerLayer = ["head_count", "head_count_kv", "feed_forward_length"].contains { key.hasSuffix("." + $0) }
      guard isPerLayer, case .int = given else { throw failure(text, "key \(key) is an array, which can't be set") }
      return try integer(MetadataValue.uint32, "u32")
    case nil:
      switch given {
      case .float(let number): return .float32(Float(number))
      case .bool(let flag): return .bool(flag)
      case .string(let string): return .string(string)
      case .int(let number):
        // Unsigned as in llama-quantize: readers of most keys require that.
        if let value = UInt32(exactly: number) { return .uint32(value) }
        if let value = Int32(exactly: number) { return .int32(value) }
        throw failure(text, "\(number) has more than 32 bits")
      }
    }
  }

  /// A value of the type that llama.cpp requires for a key; nil for keys that it does not read.
  private static func expected(_ key: String) -> MetadataValue? {
    let last = key.split(separator: ".").last.map(String.init) ?? ""
    let arrays = ["tokens", "scores", "token_type", "merges", "added_tokens"]
    if key.hasPrefix("tokenizer.ggml.") {
      if arrays.contains(last) { return .array(.string([])) }
      if last.hasSuffix("_token_id") || last == "token_type_count" { return .uint32(0) }
      if last.hasPrefix("add_") || last.hasPrefix("remove_") { return .bool(false) }
      return ["model", "pre"].contains(last) ? .string("") : nil
    }
    if key.hasPrefix("tokenizer.chat_template") {
      return key == "tokenizer.chat_templates" ? .array(.string([])) : .string("")
    }
    let texts: Set = [
      "architecture", "type", "name", "author", "version", "organization", "finetune", "basename", "description",
      "quantized_by", "size_label", "license", "url", "doi", "uuid", "repo_url",
    ]
    if key.hasPrefix("general.") {
      if ["alignment", "file_type", "quantization_version"].contains(last) { return .uint32(0) }
      if ["tags", "languages"].contains(last) { return .array(.string([])) }
      return key.split(separator: ".").count == 2 && texts.contains(last) ? .string("") : nil
    }
    if key.hasPrefix("quantize.") { return last.hasSuffix("_count") ? .uint32(0) : .string("") }
    let floats: Set = [
      "freq_base", "freq_base_swa", "factor", "attn_factor", "layer_norm_epsilon", "layer_norm_rms_epsilon",
      "expert_weights_scale", "yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast",
      "yarn_beta_slow", "logit_scale", "residual_scale", "embedding_scale", "max_alibi_bias", "clamp_kqv", "scale",
    ]
    if floats.contains(last) { return .float32(0) }
    let counts = ["_count", "_length", "_length_mla", "_count_kv", "_lora_rank", "_size", "_layers"]
    return counts.contains { last.hasSuffix($0) } ? .uint32(0) : nil
  }

  // MARK: all keys together

  /// Refuses values with which a reader would refuse the whole file, unless it also refuses the unchanged model.
  private func check(_ metadata: Metadata, of source: any ModelSource, keys: [String]) throws {
    let all = keys.joined(separator: ", ")
    func failure(_ reason: String) -> Failure { Failure(.usage, "--override-kv \(all.prefix(120)): \(reason)") }
    do {
      _ = try GGUFHeader(bytes: GGUFLayout(metadata: metadata, tensors: []).header, path: "", headerOnly: true)
    } catch let error as FormatError {
      throw failure((error.subject.map { $0 + " " } ?? "") + error.reason)
    }
    try checkTokens(metadata, replacing: source.metadata, keys, failure)
    let architecture = metadata.optionalString("general.architecture") ?? ""
    if keys.contains("general.architecture"), !metadata.keys.contains(where: { $0.hasPrefix(architecture + ".") }) {
      throw failure("the model has no keys of the architecture \(architecture)")
    }
    if keys.contains("\(architecture).block_count"), let count = metadata.optionalInt("\(architecture).block_count") {
      let layers = (source.tensors.compactMap(\.layer).max() ?? -1) + 1
      let stored = source.metadata.optionalInt("\(architecture).block_count")
      guard count == layers || stored != layers else {
        throw failure("\(count) layers, but the tensors have \(layers)")
      }
    }
    if keys.contains("\(architecture).vocab_size"), let count = metadata.optionalInt("\(architecture).vocab_size"),
      let embedding = source.tensor(named: "token_embd.weight"), embedding.shape.rows != count
    {
      throw failure("a vocabulary of \(count), but token_embd.weight has \(embedding.shape.rows) rows")
    }
    guard (try? Decoder(source)) != nil else { return }
    do {
      _ = try Decoder(TypedShapes(name: source.name, metadata: metadata, tensors: source.tensors))
    } catch ForwardError.unsupportedValue {
      // Other programs may support the value; the forward pass refuses such a file by the key.
    } catch let error as ForwardError {
      throw failure("the model could not be run: \(error)")
    }
  }

  private func checkTokens(
    _ metadata: Metadata, replacing original: Metadata, _ keys: [String], _ failure: (String) -> Failure
  ) throws {
    guard keys.contains(where: { $0.hasPrefix("tokenizer.") }),
      let tokens = metadata.optionalStrings("tokenizer.ggml.tokens")
    else { return }
    for key in keys where key.hasPrefix("tokenizer.ggml.") && key.hasSuffix("_token_id") {
      guard let id = metadata.optionalInt(key), !(0..<tokens.count).contains(id) else { continue }
      throw failure("key \(key) is \(id), beyond \(tokens.count) tokens")
    }
    guard keys.contains(where: { $0.hasPrefix("tokenizer.ggml.") && !$0.hasSuffix("_token_id") }) else { return }
    guard (try? Tokenizer(metadata: original)) != nil else { return }
    do {
      _ = try Tokenizer(metadata: metadata)
    } catch let error as TokenizerError {
      throw failure(error.description)
    } catch let error as MetadataError {
      throw failure(error.description)
    }
  }
}
