import Foundation
import GGUF
import Tensors

/// One model's entry in the file that stock.py writes.
public struct StockFixture: Decodable, Sendable {
  public let architecture: String
  let keys: [String: Value]
  /// Dimensions, first and last layer, by class. Layers that are not successive are listed behind -1.
  let tensors: [String: [[Int]]]
  /// Types by class without and with an importance matrix (if they differ), by mix.
  public let mixes: [String: [[String: String]]]

  /// The value of a key: a number, or one for each layer.
  enum Value: Decodable, Sendable {
    case one(Double)
    case layers([UInt32])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let number = try? container.decode(Double.self) {
        self = .one(number)
      } else {
        self = .layers(try container.decode([UInt32].self))
      }
    }

    var metadata: MetadataValue {
      switch self {
      case .one(let number): .uint32(UInt32(number))
      case .layers(let numbers): .array(.uint32(numbers))
      }
    }
  }

  public static let all = read("stock").merging(others) { $1 }
  /// Those of architectures without a forward pass, and more.
  public static let others = read("stock_other")

  private static func read(_ name: String) -> [String: StockFixture] {
    let url = Repository.root.appending(path: "Tests/QuantizeTests/Fixtures/\(name).json")
    guard let data = try? Data(contentsOf: url),
      let all = try? JSONDecoder().decode([String: StockFixture].self, from: data)
    else { preconditionFailure("\(url.path) is damaged") }
    return all
  }

  /// The layers of a class, in order.
  private static func layers(_ entry: [[Int]]) -> [Int] {
    if entry[1].first == -1 { return Array(entry[1].dropFirst()) }
    return entry[1].isEmpty ? [] : Array(entry[1][0]...entry[1][1])
  }

  public var metadata: Metadata {
    var metadata: Metadata = ["general.architecture": .string(architecture)]
    for (key, value) in keys.sorted(by: { $0.key < $1.key }) { metadata[key] = value.metadata }
    return metadata
  }

  /// All tensors, in types of a converter.
  public var infos: [TensorInfo] {
    tensors.sorted { $0.key < $1.key }.flatMap { name, entry in
      let shape = Shape(entry[0])!
      let isExact = entry[0].count == 1 || name.contains("ffn_gate_inp")
      let layers = Self.layers(entry)
      let names = layers.isEmpty ? [name] : layers.map { name.replacing("*", with: "\($0)") }
      return names.map { TensorInfo(name: $0, shape: shape, type: isExact ? .f32 : .f16) }
    }
  }

  /// The types by tensor name that llama-quantize chose.
  public func expected(_ mix: String, hasImportance: Bool) -> [String: String] {
    let variants = mixes[mix]!
    let classes = variants[hasImportance && variants.count > 1 ? 1 : 0]
    var result: [String: String] = [:]
    for tensor in infos {
      guard tensor.shape.dimensions.count > 1, !tensor.name.contains("ffn_gate_inp") else {
        result[tensor.name] = "F32"
        continue
      }
      let key = tensor.layer.map { "blk.*" + tensor.name.dropFirst("blk.\($0)".count) } ?? tensor.name
      guard let runs = classes[key]?.split(separator: " ") else {
        result[tensor.name] = classes[""]!
        continue
      }
      var layerIndex = tensor.layer.flatMap { Self.layers(tensors[key]!).firstIndex(of: $0) } ?? 0
      for index in stride(from: 0, to: runs.count, by: 2) {
        let count = Int(runs[index + 1])!
        if layerIndex < count {
          result[tensor.name] = String(runs[index])
          break
        }
        layerIndex -= count
      }
    }
    return result
  }
}
