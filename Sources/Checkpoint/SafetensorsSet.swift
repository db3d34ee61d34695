import Foundation
import Tensors

/// All tensors of a checkpoint: one safetensors file, or an index with shards.
struct SafetensorsSet: Sendable {
  let path: String
  private var tensors: [String: StoredTensor]

  init(directory: String) throws {
    let index = directory + "/model.safetensors.index.json"
    let single = directory + "/model.safetensors"
    let exists = FileManager.default.fileExists(atPath:)
    if exists(single), !exists(index) {
      path = single
      tensors = Dictionary(uniqueKeysWithValues: try Safetensors(path: single).tensors.map { ($0.name, $0) })
      return
    }
    guard exists(index) else {
      throw CheckpointError(
        .missing, path: directory, "holds neither model.safetensors nor model.safetensors.index.json",
        hint: exists(directory + "/pytorch_model.bin") || exists(directory + "/pytorch_model.bin.index.json")
          ? "PyTorch's .bin files are not read: save the model as safetensors"
          : "MODEL is a directory as published on Hugging Face, or a GGUF file")
    }
    path = index
    tensors = try Self.indexed(index, directory: directory)
  }

  private static func indexed(_ index: String, directory: String) throws -> [String: StoredTensor] {
    guard let map = try JSONValue.read(index)["weight_map"]?.object else {
      throw CheckpointError(path: index, subject: "key weight_map", "is missing")
    }
    let places = try map.mapValues { value throws -> String in
      // A name with a slash would lead out of the directory.
      guard let name = value.string, !name.contains("/"), name != "..", name.hasSuffix(".safetensors") else {
        throw CheckpointError(path: index, subject: "key weight_map", "names a shard that is no safetensors file here")
      }
      return name
    }
    var tensors: [String: StoredTensor] = [:]
    for shard in Set(places.values).sorted() {
      let file = directory + "/" + shard
      guard FileManager.default.fileExists(atPath: file) else {
        throw CheckpointError(
          path: file, subject: "key weight_map", "is named in model.safetensors.index.json and is not there",
          hint: "the download is incomplete")
      }
      for tensor in try Safetensors(path: file).tensors where places[tensor.name] == shard {
        tensors[tensor.name] = tensor
      }
    }
    for (name, shard) in places.sorted(by: { $0.key < $1.key }) where tensors[name] == nil {
      throw CheckpointError(
        path: index, subject: "tensor \(name)", "is said to be in \(shard), which does not hold it",
        hint: "the download is incomplete, or index and shards are of different versions")
    }
    return tensors
  }

  subscript(name: String) -> StoredTensor? { tensors[name] }
  var names: [String] { tensors.keys.sorted() }

  /// Gives every FP8 tensor its scales: `NAME_scale_inv` (DeepSeek) or `NAME_scale` (compressed-tensors).
  ///
  /// Afterwards scales are no tensors of their own.
  mutating func attachScales(_ quantization: QuantizationConfig) throws {
    var attached = Set<String>()
    for suffix in ["_scale_inv", "_scale"] {
      for name in names where name.hasSuffix("weight" + suffix) || name.hasSuffix("proj" + suffix) {
        guard let scale = tensors[name] else { continue }
        let base = String(name.dropLast(suffix.count))
        guard let weight = tensors[base] else {
          throw CheckpointError(
            path: scale.file.path, subject: "tensor \(name)", "is a scale without its weight \(base)",
            hint: "the download is incomplete")
        }
        guard weight.element == .f8_e4m3 || weight.element == .f8_e5m2 else {
          throw CheckpointError(
            path: scale.file.path, subject: "tensor \(name)", "scales a weight of type \(weight.element.rawValue)",
            hint: "scales are known for F8_E4M3 and F8_E5M2")
        }
        tensors[base]?.scale = try ScaleGrid(scale, of: weight, block: quantization.block)
        attached.insert(name)
      }
    }
    for name in attached { tensors.removeValue(forKey: name) }
    guard quantization.hasScales else { return }
    for name in names {
      guard let tensor = tensors[name], tensor.element == .f8_e4m3 || tensor.element == .f8_e5m2, tensor.scale == nil
      else { continue }
      throw CheckpointError(
        path: tensor.file.path, subject: "tensor \(name)", "has no scale, and config.json says that it is quantized",
        hint: "the download is incomplete")
    }
  }
}

/// config.json's `quantization_config`, as far as weights are concerned.
struct QuantizationConfig: Sendable {
  /// Rows and columns that share a scale.
  let block: (rows: Int, columns: Int)
  /// FP8 tensors must have scales.
  let hasScales: Bool

  init(_ config: Config) throws {
    guard let quantization = config["quantization_config"] else {
      (block, hasScales) = ((128, 128), false)
      return
    }
    let method = quantization["quant_method"]?.string ?? "none"
    guard ["fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"].contains(method) else {
      throw CheckpointError(
        path: config.path, subject: "key quantization_config.quant_method", "is \(method)",
        hint: "known: fp8, fbgemm_fp8, and compressed-tensors and modelopt with FP8 weights; quantize from the original"
          + " model")
    }
    var size = quantization["weight_block_size"]
    for (_, group) in quantization["config_groups"]?.object ?? [:] {
      size = group["weights"]?["block_structure"] ?? size
    }
    guard let size, size != .null else {
      (block, hasScales) = ((128, 128), true)
      return
    }
    guard let numbers = size.array?.compactMap(\.int), numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
      throw CheckpointError(
        path: config.path, subject: "key quantization_config.weight_block_size", "is no pair of positive integers")
    }
    (block, hasScales) = ((numbers[0], numbers[1]), true)
  }
}
