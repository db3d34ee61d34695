/// The keys of config.json that an architecture knows, by their effect.
///
/// A key that is in none of the lists is named once, and has no other effect.
struct KeyTable: Sendable {
  /// Every value has its effect, or is refused where it is read.
  var honoured: Set<String> = []
  /// No value has an effect on what the model computes.
  var harmless: Set<String> = []
  /// Some values can't be honoured, because the architecture's GGUF has no word for them or the forward pass can't
  /// compute them.
  var rules: [KeyRule] = []
}

/// Tells which values of some keys an architecture can't honour.
struct KeyRule: Sendable {
  let names: [String]
  /// - Parameter gguf: GGUF's name of the architecture, for reasons.
  let refused: @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]

  init(_ names: String..., refused: @escaping @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]) {
    self.names = names
    self.refused = refused
  }

  private init(_ names: [String], refused: @escaping @Sendable (_ config: Config, _ gguf: String) -> [RefusedKey]) {
    self.names = names
    self.refused = refused
  }

  /// Keys that may be missing, null, or hold one of some values.
  ///
  /// - Parameter absent: the default of `transformers` for a missing key, where it is none of the values.
  static func only(
    _ names: String..., are values: JSONValue..., absent: JSONValue? = nil, shapesTensors: Bool = false
  ) -> KeyRule {
    KeyRule(names) { config, gguf in
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

  /// Keys of other architectures that must be missing, or hold what counts as false.
  static func none(_ names: String..., shapesTensors: Bool = false) -> KeyRule {
    KeyRule(names) { config, gguf in
      names.compactMap { name in
        guard let value = config[name], value.isTrue else { return nil }
        return RefusedKey(name, value.text, "a GGUF of \(gguf) means none", shapesTensors: shapesTensors)
      }
    }
  }
}

/// A key of config.json with a value that changes what the model computes and can't be honoured.
public struct RefusedKey: Sendable, Equatable {
  /// Its name; `rope_scaling.type` for one inside an object.
  public let name: String
  /// Its value as JSON, shortened, or what its absence means.
  public let value: String
  public let reason: String
  /// The model has other tensors with this value, and keeps them where the key is ignored; readers of GGUF don't know
  /// them. Any other key that is ignored counts as missing.
  public let shapesTensors: Bool

  init(_ name: String, _ value: String, _ reason: String, shapesTensors: Bool = false) {
    self.name = name
    self.value = value
    self.reason = reason
    self.shapesTensors = shapesTensors
  }
}

extension JSONValue {
  /// As `transformers` takes values for flags: false are null, 0 and what is empty.
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

  /// The value as JSON on one line, cut after 60 characters.
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
