/// The keys of config.json that an architecture understands, by their effect.
///
/// A key in none of the lists is reported as unknown.
struct KeyTable: Sendable {
  /// Every value is supported, or refused when it is read. An architecture that honours a key of ``shared`` is exempt from
  /// its rule.
  var honoured: Set<String> = []
  /// No value changes the model's output.
  var harmless: Set<String> = []
  /// Some values are not supported, because the architecture's GGUF or the forward pass lacks them.
  var rules: [KeyRule] = []
}

/// A rule that finds unsupported values of some keys.
struct KeyRule: Sendable {
  let names: [String]
  /// - Parameter gguf: GGUF's name of the architecture, for messages.
  let refused: @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]

  init(_ names: String..., refused: @escaping @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]) {
    self.names = names
    self.refused = refused
  }

  init(named names: [String], refused: @escaping @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]) {
    self.names = names
    self.refused = refused
  }

  /// Keys that must be missing, null, or equal to one of `values`.
  ///
  /// - Parameter absent: the default of `transformers` for a missing key, if it is not among the values.
  static func only(
    _ names: String..., are values: JSONValue..., absent: JSONValue? = nil, shapesTensors: Bool = false
  ) -> KeyRule {
    KeyRule(named: names) { config, gguf in
      let meaning = values.isEmpty ? "none" : values.map(\.text).joined(separator: " or ")
      return names.compactMap { name in
        let reason = "a GGUF of \(gguf) means \(meaning)"
        guard let value = config[name] else {
          return absent.map { RefusedKey(name, "absent, which means \($0.text)", reason) }
        }
        return values.contains { $0.equals(value) }
          ? nil : RefusedKey(name, value.text, reason, shapesTensors: shapesTensors)
      }
    }
  }

  /// Keys of other architectures that must be missing or false.
  static func none(_ names: String..., shapesTensors: Bool = false) -> KeyRule {
    KeyRule(named: names) { config, gguf in
      names.compactMap { name in
        guard let value = config[name], value.isTrue else { return nil }
        return RefusedKey(name, value.text, "a GGUF of \(gguf) means none", shapesTensors: shapesTensors)
      }
    }
  }
}

/// A key of config.json whose value changes the model's output and is not supported.
public struct RefusedKey: Sendable, Equatable {
  /// The key's name; `rope_scaling.type` for one inside an object.
  public let name: String
  /// The value as JSON, shortened to 60 characters, or the meaning of a missing key.
  public let value: String
  /// The reason for the refusal.
  public let reason: String
  /// Whether the value adds or reshapes tensors. If the key is ignored, these tensors are kept, although readers of
  /// GGUF do not know them. Other ignored keys count as missing.
  public let shapesTensors: Bool

  /// The same finding on a key that the file names differently.
  func renamed(_ name: String) -> RefusedKey {
    RefusedKey(name, value, reason, shapesTensors: shapesTensors)
  }

  init(_ name: String, _ value: String, _ reason: String, shapesTensors: Bool = false) {
    self.name = name
    self.value = value
    self.reason = reason
    self.shapesTensors = shapesTensors
  }
}

extension JSONValue {
  /// The value as a flag, as in `transformers`: null, 0 and empty values are false.
  var isTrue: Bool {
    switch self {
    case .null: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .number(let value): value != 0
    case .string(let value): !value.isEmpty
    case .array(let values): !values.isEmpty
    case .object(let fields): !fields.isEmpty
    }
  }

  /// Equality by value: 1 is 1.0.
  func equals(_ other: JSONValue) -> Bool {
    if let one = double, let two = other.double { return one == two }
    return self == other
  }

  /// The value as JSON on one line, cut to 60 characters.
  var text: String {
    let whole: String
    switch self {
    case .null: whole = "null"
    case .bool(let value): whole = "\(value)"
    case .int(let value): whole = "\(value)"
    case .number(let value): whole = "\(value)"
    case .string(let value): whole = "\"\(value)\""
    case .array(let values): whole = "[" + values.map(\.text).joined(separator: ", ") + "]"
    case .object(let fields):
      whole = "{" + fields.sorted { $0.key < $1.key }.map { "\"\($0)\": \($1.text)" }.joined(separator: ", ") + "}"
    }
    let line = String(whole.map { $0.isNewline || $0.asciiValue.map { $0 < 32 || $0 == 127 } ?? false ? " " : $0 })
    return line.count > 60 ? line.prefix(59) + "…" : line
  }
}
