import Files
import Tensors

/// config.json: the hyperparameters, under the `transformers` package's names.
struct Config: Sendable {
  let path: String
  private var root: JSONValue
  /// Keys that were removed. Tensors that belong to them are left out too.
  private(set) var ignored: Set<String> = []
  /// The configurations of vision and audio towers, which are left out of a GGUF.
  private(set) var towers: [String] = []
  /// Keys that the file leaves out, with the defaults of the configuration class.
  private var defaulted: Set<String> = []
  /// The names in params.json of keys, whose values came from there (``MistralForm``).
  private let names: [String: String]
  let isMistralForm: Bool
  /// Decisions taken when the file was read, complete lines.
  var notes: [String] = []
  /// The blocks for multi-token prediction.
  var prediction = PredictionBlocks.declared

  init(path: String) throws {
    try self.init(try JSONValue.read(path, limit: 16 << 20), path: path)
  }

  /// Parses the text of a config.json; `path` is for messages.
  init(text: String, path: String) throws {
    try self.init(try JSONValue(bytes: Array(text.utf8), path: path), path: path)
  }

  /// - Parameter names: the file's names of keys; nil for a config.json.
  init(_ root: JSONValue, path: String, names: [String: String]? = nil) throws {
    self.path = path
    self.root = root
    self.names = names ?? [:]
    isMistralForm = names != nil
    guard root.object != nil else { throw FormatError(path: path, "is not a JSON object") }
  }

  subscript(key: String) -> JSONValue? {
    let value = root[key]
    return value == .null ? nil : value
  }

  var keys: [String] { root.object.map { Array($0.keys) } ?? [] }

  /// The file's name of a key, for messages.
  func title(_ key: String) -> String { names[key] ?? key }

  mutating func addTowers(_ keys: [String]) { towers += keys }

  /// The value that the file itself has.
  func given(_ key: String) -> JSONValue? { defaulted.contains(key) ? nil : self[key] }

  /// True if the key is present, even if its value is null.
  func has(_ key: String) -> Bool { root[key] != nil }

  /// A copy with the keys of `text_config`, which replace those beside it.
  ///
  /// Keys of the whole model keep their values: its classes, its tied embeddings, its special tokens and the form of its
  /// weights.
  func flattened() -> Config {
    guard var fields = root.object else { return self }
    var result = self
    result.towers = towers + Self.towers.filter { fields[$0]?.object != nil }
    if let text = fields.removeValue(forKey: "text_config")?.object {
      let outer: Set<String> = ["architectures", "model_type", "tie_word_embeddings", "quantization_config"]
      fields.merge(text) { whole, text in text == .null ? whole : text }
      for (key, value) in root.object ?? [:] where value != .null && key != "text_config" {
        if outer.contains(key) || key.hasSuffix("_token_id") { fields[key] = value }
      }
    }
    result.root = .object(fields)
    return result
  }

  private static let towers = ["vision_config", "audio_config"]

  /// A copy with the values of missing keys. A key that is null keeps that value.
  func filled(_ defaults: [String: JSONValue]) -> Config {
    guard let fields = root.object else { return self }
    var result = self
    result.root = .object(fields.merging(defaults) { given, _ in given })
    result.defaulted.formUnion(defaults.keys.filter { fields[$0] == nil })
    return result
  }

  /// A copy with a key, or one inside an object (`rope_scaling.type`), set to null.
  func without(_ name: String) -> Config {
    let name = names.first { $0.value == name }?.key ?? name
    var result = self
    result.ignored.insert(name)
    result.root = Self.without(name, root)
    return result
  }

  private static func without(_ name: String, _ value: JSONValue) -> JSONValue {
    guard var fields = value.object else { return value }
    if let dot = name.firstIndex(of: "."), let inner = fields[String(name[..<dot])] {
      fields[String(name[..<dot])] = without(String(name[name.index(after: dot)...]), inner)
    } else {
      fields[name] = .null
      // Two names of one key; files may have both.
      if name == "rope_type", fields["type"] != nil { fields["type"] = .null }
    }
    return .object(fields)
  }

  private func missing(_ key: String, _ kind: String) -> FormatError {
    let reason = self[key].map { "is \($0.text), not \(kind)" } ?? "is missing"
    return FormatError(path: path, subject: "key \(title(key))", reason)
  }

  /// A positive integer that fits a GGUF's u32.
  func int(_ key: String, maximum: Int = Int(UInt32.max)) throws -> Int {
    guard let value = self[key]?.int, value > 0 else { throw missing(key, "a positive integer") }
    guard value <= maximum else {
      throw FormatError(path: path, subject: "key \(title(key))", "is \(value), beyond \(maximum)")
    }
    return value
  }

  func int(_ key: String, default value: Int) throws -> Int { self[key] == nil ? value : try int(key) }

  /// An integer that may be zero.
  func count(_ key: String, default value: Int) throws -> Int { self[key]?.int == 0 ? 0 : try int(key, default: value) }

  func double(_ key: String) throws -> Double {
    guard let value = self[key]?.double else { throw missing(key, "a number") }
    return value
  }

  /// A number above zero, also in a GGUF's single precision.
  func positive(_ key: String) throws -> Double {
    guard let value = self[key]?.double, Float(value) > 0, Float(value).isFinite else {
      throw missing(key, "a positive number")
    }
    return value
  }

  var architecture: String {
    get throws {
      guard let name = self["architectures"]?.array?.first?.string else {
        throw FormatError(path: path, subject: "key architectures", "does not name an architecture")
      }
      return name
    }
  }

  /// The type that matrices are published in; FP8 counts as BF16, the narrowest float of a GGUF that holds it.
  var publishedType: GGMLType {
    switch (self["dtype"] ?? self["torch_dtype"])?.string {
    case "float32", "float64": .f32
    case "float16": .f16
    default: .bf16
    }
  }
}
