import Files
import Tensors

/// Where the parts of every tensor are in the weight files of an MLX directory.
struct MLXLayout: Sendable {
  /// A tensor of safetensors.
  struct Part: Sendable {
    let name: String
    /// `U32`, `BF16`, `F16` or `F32`.
    let element: String
    /// The last dimension is contiguous.
    let shape: [Int]
    let bytes: Int
    /// The index of the file, and the offset in it.
    var file = 0
    var offset = 0
  }

  /// A tensor of the model.
  struct Placement: Sendable {
    /// Codes, scales and biases of a quantized tensor (MXFP4: without biases); one part of any other; none of an omitted
    /// one. For each of MLX's tensors, where one of a GGUF is several.
    let parts: [[Int]]
    let order: MLXRowOrder?
    let columns: MLXColumnOrder?
  }

  struct File: Sendable {
    let name: String
    let header: [UInt8]
    let totalBytes: Int
  }

  private(set) var parts: [Part] = []
  private(set) var placements: [Placement] = []
  private(set) var files: [File] = []
  /// Weights, without scales and biases of groups.
  private(set) var parameters = 0
  /// The module path of every quantized tensor, with its format.
  private(set) var quantized: [(module: String, format: Format)] = []
  /// The module paths of matrices that stay float, although MLX has them quantized by default.
  private(set) var floatMatrices: [String] = []

  /// An entry of config.json's `quantization`.
  struct Format: Sendable, Hashable {
    let bits: Int
    let group: Int
    let mode: String
  }

  /// Bytes of tensors in a file, except where one tensor has more.
  static let shardBytes = 5 << 30

  init(_ source: MLXSource, types: [GGMLType], shardBytes: Int = Self.shardBytes) {
    for (tensor, type) in zip(source.tensors, types) {
      guard let (module, suffix) = source.names.name(of: tensor.name), !MLXNames.isOmitted(tensor.name) else {
        placements.append(Placement(parts: [], order: nil, columns: nil))
        continue
      }
      let order = MLXRowOrder(tensor, of: source)
      var dimensions = source.names.dimensions(of: tensor)
      let second = source.names.second(of: tensor.name)
      if second != nil { dimensions[dimensions.count - 2] /= 2 }
      parameters += tensor.shape.count
      func add(_ name: String, _ element: String, _ shape: [Int], width: Int) {
        parts.append(Part(name: name, element: element, shape: shape, bytes: shape.reduce(width, *)))
      }
      let columns = tensor.shape.columns
      func place(_ module: String) -> [Int] {
        let first = parts.count
        if let format = type.affine {
          let scales = format.scales.type.name
          add("\(module).weight", "U32", dimensions.dropLast() + [columns * format.bits / 32], width: 4)
          add("\(module).scales", scales, dimensions.dropLast() + [columns / format.group], width: 2)
          add("\(module).biases", scales, dimensions.dropLast() + [columns / format.group], width: 2)
          quantized.append((module, Format(bits: format.bits, group: format.group, mode: "affine")))
        } else if type == .mxfp4 {
          add("\(module).weight", "U32", dimensions.dropLast() + [columns / 8], width: 4)
          add("\(module).scales", "U8", dimensions.dropLast() + [columns / 32], width: 1)
          quantized.append((module, Format(bits: 4, group: 32, mode: "mxfp4")))
        } else {
          add("\(module).\(suffix)", type.name, dimensions, width: type.blockBytes)
          if tensor.isQuantizable, !tensor.name.contains("ssm_conv1d") { floatMatrices.append(module) }
        }
        return Array(first..<parts.count)
      }
      placements.append(
        Placement(
          parts: ([module] + [second].compactMap { $0 }).map(place), order: order,
          columns: MLXColumnOrder(tensor, of: source)))
    }
    place(shardBytes)
  }

  private mutating func place(_ shardBytes: Int) {
    var groups: [[Int]] = [[]]
    var size = 0
    for index in parts.indices {
      if size + parts[index].bytes > shardBytes, !groups[groups.count - 1].isEmpty {
        groups.append([])
        size = 0
      }
      groups[groups.count - 1].append(index)
      size += parts[index].bytes
    }
    for (file, group) in groups.enumerated() {
      // Words before halves and bytes, so that all are aligned.
      let widths = ["32", "16", "8"]
      let order = widths.flatMap { width in group.filter { parts[$0].element.hasSuffix(width) } }
      var text = #"{"__metadata__":{"format":"mlx"}"#
      var end = 0
      for index in order {
        let part = parts[index]
        let shape = part.shape.map(String.init).joined(separator: ",")
        text += ",\(JSONText.quoted(part.name)):{\"dtype\":\"\(part.element)\",\"shape\":[\(shape)],"
        text += "\"data_offsets\":[\(end),\(end + part.bytes)]}"
        parts[index].file = file
        parts[index].offset = end
        end += part.bytes
      }
      text += "}"
      var header = Array(text.utf8)
      header += Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
      let length = UInt64(header.count)
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + header
      for index in order { parts[index].offset += bytes.count }
      let name =
        groups.count == 1
        ? "model.safetensors" : "model-\(Self.padded(file + 1))-of-\(Self.padded(groups.count)).safetensors"
      files.append(File(name: name, header: bytes, totalBytes: bytes.count + end))
    }
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// Bytes of all tensors.
  var dataBytes: Int { parts.reduce(0) { $0 + $1.bytes } }

  /// model.safetensors.index.json
  var index: String {
    let map = parts.sorted { $0.name < $1.name }.map {
      "        \(JSONText.quoted($0.name)): \(JSONText.quoted(files[$0.file].name))"
    }
    return """
      {
          "metadata": {
              "total_size": \(dataBytes),
              "total_parameters": \(parameters)
          },
          "weight_map": {
      \(map.joined(separator: ",\n"))
          }
      }

      """
  }
}
