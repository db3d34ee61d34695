import GGUF
import Inspection
import Tensors

/// `qtool inspect --json`.
struct InspectionJSON: Encodable {
  struct Entry: Encodable {
    let name: String
    let tensors: Int
    let weights: Int
    let bytes: Int
    let types: [String: Int]
  }

  struct Kind: Encodable {
    let type: String
    let tensors: Int
    let weights: Int
    let bytes: Int
  }

  struct Tensor: Encodable {
    let name: String
    let shape: [Int]
    let type: String
    let bytes: Int
  }

  let name: String
  let form: String
  let notes: [String]
  let weights: Int
  let bytes: Int
  let bitsPerWeight: Double
  let metadata: [MetadataJSON]
  let classes: [Entry]
  let types: [Kind]
  /// With `--tensors`.
  let tensors: [Tensor]?

  init(_ inspected: Inspected, _ inventory: Inventory, tensors: Bool) {
    name = inspected.source.name
    form = inspected.form
    notes = inspected.notes
    weights = inventory.weights
    bytes = inventory.bytes
    bitsPerWeight = inventory.bitsPerWeight
    metadata = inspected.source.metadata.map { MetadataJSON(key: $0.key, value: $0.value) }
    classes = inventory.classes.map { entry in
      Entry(
        name: entry.name, tensors: entry.tensors, weights: entry.weights, bytes: entry.bytes,
        types: Dictionary(uniqueKeysWithValues: entry.types.map { ($0.type.name, $0.tensors) }))
    }
    types = inventory.types.map {
      Kind(type: $0.type.name, tensors: $0.tensors, weights: $0.weights, bytes: $0.bytes)
    }
    self.tensors =
      tensors
      ? inspected.source.tensors.map {
        Tensor(
          name: $0.name, shape: $0.shape.dimensions, type: $0.type.name, bytes: $0.shape.bytes(as: $0.type) ?? 0)
      } : nil
  }
}

/// A key with its value. Arrays are reduced to their count and first elements, since tokenizers have very long ones.
struct MetadataJSON: Encodable {
  let key: String
  let value: MetadataValue

  private enum Keys: String, CodingKey { case key, type, value, count, first }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Keys.self)
    try container.encode(key, forKey: .key)
    try container.encode(MetadataText.typeName(value), forKey: .type)
    switch value {
    case .uint8(let x): try container.encode(x, forKey: .value)
    case .int8(let x): try container.encode(x, forKey: .value)
    case .uint16(let x): try container.encode(x, forKey: .value)
    case .int16(let x): try container.encode(x, forKey: .value)
    case .uint32(let x): try container.encode(x, forKey: .value)
    case .int32(let x): try container.encode(x, forKey: .value)
    case .uint64(let x): try container.encode(x, forKey: .value)
    case .int64(let x): try container.encode(x, forKey: .value)
    case .float32(let x): try container.encode(x, forKey: .value)
    case .float64(let x): try container.encode(x, forKey: .value)
    case .bool(let x): try container.encode(x, forKey: .value)
    case .string(let x): try container.encode(x, forKey: .value)
    case .array(let array):
      try container.encode(MetadataText.count(array), forKey: .count)
      try container.encode(MetadataText.elements(array, limit: 16), forKey: .first)
    }
  }
}
