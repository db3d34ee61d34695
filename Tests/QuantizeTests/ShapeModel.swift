import Foundation
import GGUF
import Quantize
import Tensors
import TestSupport

extension TypedShapes {
  /// The same model with other types.
  func with(_ types: [GGMLType]) -> TypedShapes { TypedShapes(self, types: types) }

  /// The bytes of all tensors in a file, including padding.
  var paddedBytes: Int { tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type)! + 31) / 32 * 32 } }
}

/// One model's entry in the file that stock.py writes.
struct StockFixture: Decodable {
  let architecture: String
  let keys: [String: Double]
  /// Dimensions, first and last layer, by class.
  let tensors: [String: [[Int]]]
  /// Types by class without and with an importance matrix (if they differ), by mix.
  let mixes: [String: [[String: String]]]

  static let all: [String: StockFixture] = {
    let url = Repository.root.appending(path: "Tests/QuantizeTests/Fixtures/stock.json")
    guard let data = try? Data(contentsOf: url),
      let all = try? JSONDecoder().decode([String: StockFixture].self, from: data)
    else { preconditionFailure("\(url.path) is damaged") }
    return all
  }()

  var model: TypedShapes {
    var metadata: Metadata = ["general.architecture": .string(architecture)]
    for (key, value) in keys.sorted(by: { $0.key < $1.key }) { metadata[key] = .uint32(UInt32(value)) }
    var infos: [TensorInfo] = []
    for (name, entry) in tensors.sorted(by: { $0.key < $1.key }) {
      let shape = Shape(entry[0])!
      let isExact = entry[0].count == 1 || name.contains("ffn_gate_inp")
      let layers = entry[1].isEmpty ? [] : Array(entry[1][0]...entry[1][1])
      let names = layers.isEmpty ? [name] : layers.map { name.replacing("*", with: "\($0)") }
      infos += names.map { TensorInfo(name: $0, shape: shape, type: isExact ? .f32 : .f16) }
    }
    return TypedShapes(name: "shapes", metadata: metadata, tensors: infos)
  }

  /// The types by tensor name that llama-quantize chose.
  func expected(_ mix: String, hasImportance: Bool, _ model: TypedShapes) -> [String: String] {
    let variants = mixes[mix]!
    let classes = variants[hasImportance && variants.count > 1 ? 1 : 0]
    var result: [String: String] = [:]
    for tensor in model.tensors {
      guard tensor.shape.dimensions.count > 1, !tensor.name.contains("ffn_gate_inp") else {
        result[tensor.name] = "F32"
        continue
      }
      let key = tensor.layer.map { "blk.*" + tensor.name.dropFirst("blk.\($0)".count) } ?? tensor.name
      guard let runs = classes[key]?.split(separator: " ") else {
        result[tensor.name] = classes[""]!
        continue
      }
      let first = tensors[key]![1].first ?? 0
      var layerIndex = (tensor.layer ?? 0) - first
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
