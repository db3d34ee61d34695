import Checkpoint
import GGUF
import Tensors

/// The first difference between a GGUF and the config.json beside it: in a key that shapes arithmetic, or in a tensor.
///
/// A directory for MLX has its weights from the one and its arithmetic from the other.
public struct ModelDifference: Sendable, Equatable {
  /// `key llama.rope.freq_base (rope_theta)`, or `tensor output.weight`.
  public let subject: String
  /// The GGUF's value.
  public let model: String
  /// The value that config.json implies.
  public let config: String

  /// The first difference; nil where both describe one model. Blocks for multi-token prediction are not compared: MLX has
  /// none.
  ///
  /// - Throws: errors of reading rotary factors.
  public init?(between model: any ModelSource, and shapes: ModelShapes) throws {
    var (first, second) = (model.metadata, shapes.metadata)
    let count = first.withoutPrediction() ?? .max
    _ = second.withoutPrediction()
    if let found = Self.keys(first, second) {
      self = found
      return
    }
    for tensor in shapes.tensors + model.tensors where tensor.layer ?? 0 < count {
      let (a, b) = (model.tensor(named: tensor.name)?.shape, shapes.tensor(named: tensor.name)?.shape)
      guard a == b else {
        (subject, self.model, config) = (
          "tensor \(tensor.name)", a?.description ?? "missing", b?.description ?? "missing"
        )
        return
      }
    }
    for tensor in shapes.tensors where MLXNames.isOmitted(tensor.name) {
      guard let stored = model.tensor(named: tensor.name) else { continue }
      let (a, b) = (
        try model.rows(0..<stored.shape.rows, of: stored), try shapes.rows(0..<tensor.shape.rows, of: tensor)
      )
      if let index = a.indices.first(where: { !Self.areEqual(Double(a[$0]), Double(b[$0])) }) {
        (subject, self.model, config) = ("tensor \(tensor.name), element \(index)", "\(a[index])", "\(b[index])")
        return
      }
    }
    return nil
  }

  private init(_ subject: String, model: String, config: String) {
    (self.subject, self.model, self.config) = (subject, model, config)
  }

  /// Keys without an effect on the model's output.
  private static let ignored: Set<String> = ["context_length", "vocab_size"]
  /// The meaning of missing keys. Others are compared where both have them.
  private static let neutral: [String: MetadataValue] = [
    "rope.freq_base": .float32(10_000), "rope.scaling.type": .string("none"), "rope.scaling.factor": .float32(1),
    "rope.scaling.attn_factor": .float32(1), "rope.scaling.yarn_log_multiplier": .float32(0),
    "attention.temperature_scale": .float32(0), "final_logit_softcapping": .float32(0),
    "expert_weights_scale": .float32(1),
  ]

  private static func keys(_ model: Metadata, _ config: Metadata) -> ModelDifference? {
    let name = "general.architecture"
    let (a, b) = (model.optionalString(name) ?? "missing", config.optionalString(name) ?? "missing")
    guard a == b else { return ModelDifference("key \(name)", model: a, config: b) }
    let prefix = a + "."
    for key in Set(model.keys).union(config.keys).sorted() where key.hasPrefix(prefix) {
      let short = String(key.dropFirst(prefix.count))
      guard !ignored.contains(short), let a = model[key] ?? neutral[short], let b = config[key] ?? neutral[short],
        !areEqual(a, b)
      else { continue }
      let other = MLXClassValues.argument(ofKey: short).map { " (\($0))" } ?? ""
      return ModelDifference("key \(key)\(other)", model: a.shown, config: b.shown)
    }
    return nil
  }

  private static func areEqual(_ a: MetadataValue, _ b: MetadataValue) -> Bool {
    guard let x = a.numbers, let y = b.numbers, !x.isEmpty, !y.isEmpty else { return a == b }
    // One number applies to all layers. A list may have the blocks for multi-token prediction too.
    let count = x.count == 1 || y.count == 1 ? max(x.count, y.count) : min(x.count, y.count)
    return (0..<count).allSatisfy { areEqual(x.count == 1 ? x[0] : x[$0], y.count == 1 ? y[0] : y[$0]) }
  }

  /// Equality of numbers that were rounded to single precision on one side.
  private static func areEqual(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-6 * max(abs(a), abs(b)) }
}

extension MetadataValue {
  /// Numbers or flags, of any width; nil for texts.
  fileprivate var numbers: [Double]? {
    switch self {
    case .float32(let x): [Double(x)]
    case .float64(let x): [x]
    case .bool(let x): [x ? 1 : 0]
    case .array(.float32(let x)): x.map(Double.init)
    case .array(.bool(let x)): x.map { $0 ? 1 : 0 }
    case .array(let x): x.integers?.map(Double.init)
    default: integer.map { [Double($0)] }
    }
  }

  /// A number in a message, without the fraction of a whole one.
  private static func digits(_ number: Double) -> String {
    let text = "\(Float(number))"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// The value in a message.
  fileprivate var shown: String {
    switch self {
    case .string(let text): text
    case .float32(let x): "\(x)"
    case .bool(let x): "\(x)"
    default:
      numbers.map { $0.prefix(8).map(Self.digits).joined(separator: " ") } ?? "\(self)"
    }
  }
}
