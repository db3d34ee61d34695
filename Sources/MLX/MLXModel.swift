import Blocks
import Checkpoint
import Files
import Foundation
import GGUF
import Tensors

/// An MLX directory with affine groups as a model with GGUF's names and order of rows.
public struct MLXModel: ModelSource {
  public let name: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  private let stored: [String: Stored]

  /// Where a tensor's rows are.
  private enum Stored: Sendable {
    /// rope factors, which config.json gives.
    case computed
    case float(StoredTensor, MLXRowOrder?)
    case groups(codes: StoredTensor, scales: StoredTensor, biases: StoredTensor, MLXRowOrder?)
  }

  private let shapes: ModelShapes

  /// Whether a directory's config.json declares groups of MLX, or its floats have names that only MLX gives.
  public static func isMLX(_ path: String) -> Bool {
    guard ModelLocation.isCheckpoint(path), let location = try? ModelLocation(path),
      let config = try? JSONValue.read(location.directory + "/config.json", limit: 16 << 20)
    else { return false }
    if config["quantization"]?["bits"]?.int != nil, config["quantization"]?["group_size"]?.int != nil { return true }
    guard ["mixtral", "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2"].contains(config["model_type"]?.string),
      let first = Self.files(in: location.directory).first,
      let weights = try? Safetensors(path: location.directory + "/" + first)
    else { return false }
    return weights.tensors.contains { $0.name.contains(".switch_mlp.") || $0.name.contains(".embed_q.") }
  }

  /// - Parameters:
  ///   - pre: llama.cpp's name of the splitter, for a tokenizer whose structure is unknown.
  ///   - ignoring: keys of config.json to treat as missing.
  /// - Throws: `FormatError` for tensors that config.json does not imply, or whose form is not affine.
  public init(path: String, pre: String? = nil, ignoring: [String] = []) throws {
    let location = try ModelLocation(path)
    let directory = location.directory
    let configPath = directory + "/config.json"
    let config = try JSONValue.read(configPath, limit: 16 << 20)
    let modelType = config["model_type"]?.string ?? "missing"
    guard let family = MLXNames.Family(modelType: modelType) else {
      throw FormatError(
        path: configPath, subject: "key model_type", "is \(modelType), whose names in MLX are unknown",
        hint: "known: " + MLXNames.modelTypes.joined(separator: ", "))
    }
    let weights = try Self.weights(in: directory)
    let shapes = try ModelShapes(path: directory, ignoring: ignoring) { weights[$0] != nil }
    self.shapes = shapes
    name = shapes.name
    let names = MLXNames(family: family)
    let entries = MLXEntries(config["quantization"] ?? .null, path: configPath)
    var metadata = shapes.metadata
    metadata.merge(
      try tokenizerMetadata(
        directory: directory, architecture: metadata.optionalString("general.architecture") ?? "", pre: pre)
    ) { $1 }
    var tensors: [TensorInfo] = []
    var stored: [String: Stored] = [:]
    var used = Set<String>()
    func add(_ tensor: TensorInfo) throws {
      if MLXNames.isOmitted(tensor.name) {
        tensors.append(tensor)
        stored[tensor.name] = .computed
        return
      }
      guard let (module, suffix) = names.name(of: tensor.name), let main = weights["\(module).\(suffix)"] else {
        throw FormatError(
          path: directory, subject: "tensor \(names.path(of: tensor.name) ?? tensor.name)", "is missing",
          hint: "config.json implies it; the download is incomplete, or another version of MLX wrote the model")
      }
      used.insert(main.name)
      let order = MLXRowOrder(tensor, of: shapes)
      guard suffix == "weight", let scales = weights["\(module).scales"] else {
        guard let type = main.element.type, main.shape == tensor.shape.dimensions.reversed() else {
          throw FormatError(
            path: main.file.path, subject: "tensor \(main.name)",
            "is \(main.element.rawValue) of shape \(main.shape); config.json implies \(Array(tensor.shape.dimensions.reversed()))"
          )
        }
        tensors.append(TensorInfo(name: tensor.name, shape: tensor.shape, type: type))
        stored[tensor.name] = .float(main, order)
        return
      }
      let format = try entries.format(of: module, main, scales, biases: weights["\(module).biases"], tensor.shape)
      used.formUnion([scales.name, "\(module).biases"])
      tensors.append(TensorInfo(name: tensor.name, shape: tensor.shape, type: format.type))
      stored[tensor.name] = .groups(codes: main, scales: scales, biases: weights["\(module).biases"]!, order)
    }
    for tensor in shapes.tensors {
      guard family == .deepseek2 || weights[names.path(of: tensor.name) ?? ""] == nil,
        let joint = Self.joint(tensor, shapes), weights[names.path(of: joint.name) ?? ""] != nil
      else {
        try add(tensor)
        continue
      }
      if tensor.name.hasSuffix("attn_k_b.weight") {
        try add(joint)
        if let v = shapes.tensor(named: tensor.name.replacing("attn_k_b", with: "attn_v_b")) {
          metadata.expandLatents(
            heads: tensor.shape.matrices, key: tensor.shape.columns, value: v.shape.rowsPerMatrix)
        }
      }
    }
    if let other = weights.keys.sorted().first(where: { !used.contains($0) }) {
      throw FormatError(
        path: weights[other]?.file.path ?? directory, subject: "tensor \(other)", "is not part of a \(modelType) model")
    }
    self.metadata = metadata
    self.tensors = tensors
    self.stored = stored
  }

  /// `attn_kv_b` in place of the halves that config.json implies; nil for other tensors.
  private static func joint(_ tensor: TensorInfo, _ shapes: ModelShapes) -> TensorInfo? {
    let name = tensor.name.replacing("attn_v_b", with: "attn_k_b")
    guard name.hasSuffix(".attn_k_b.weight"), let k = shapes.tensor(named: name),
      let v = shapes.tensor(named: name.replacing("attn_k_b", with: "attn_v_b")),
      let shape = Shape([v.shape.columns, k.shape.matrices * (k.shape.columns + v.shape.rowsPerMatrix)])
    else { return nil }
    return TensorInfo(name: name.replacing("attn_k_b", with: "attn_kv_b"), shape: shape, type: k.type)
  }

  /// The files that mlx_lm reads.
  private static func files(in directory: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
      .filter { $0.hasPrefix("model") && $0.hasSuffix(".safetensors") }
  }

  /// The tensors of these files.
  private static func weights(in directory: String) throws -> [String: StoredTensor] {
    let names = files(in: directory)
    guard !names.isEmpty else {
      throw FormatError(.missing, path: directory, "has no model*.safetensors", hint: "the download is incomplete")
    }
    var weights: [String: StoredTensor] = [:]
    for name in names {
      for tensor in try Safetensors(path: directory + "/" + name).tensors {
        guard weights.updateValue(tensor, forKey: tensor.name) == nil else {
          throw FormatError(
            path: directory + "/" + name, subject: "tensor \(tensor.name)", "is in another file too",
            hint: "files of another version of the model are in the folder: remove them")
        }
      }
    }
    return weights
  }

  public func tensor(named name: String) -> TensorInfo? {
    stored[name] == nil ? nil : tensors.first { $0.name == name }
  }

  public func path(of tensor: TensorInfo) -> String? {
    switch stored[tensor.name] {
    case .float(let tensor, _): tensor.file.path
    case .groups(let codes, _, _, _): codes.file.path
    default: nil
    }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    if case .computed? = stored[tensor.name] {
      return try shapes.readRows(of: tensor, rows: rows, into: &output)
    }
    let bytes = try bytes(of: tensor, rows)
    decodeRows(bytes.span.bytes, as: tensor.type, into: &output)
  }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    if case .computed? = stored[tensor.name] {
      return try shapes.readBytes(of: tensor, rows: rows, into: &output)
    }
    let bytes = try bytes(of: tensor, rows)
    output.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
  }

  private func bytes(of tensor: TensorInfo, _ rows: Range<Int>) throws -> [UInt8] {
    guard let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns), let stored = stored[tensor.name] else {
      preconditionFailure("\(name) has no tensor \(tensor.name)")
    }
    var result = [UInt8](repeating: 0, count: rows.count * rowBytes)
    switch stored {
    case .computed: break
    case .float(let float, let order):
      // A vector has an element a row.
      let isVector = tensor.shape.dimensions.count == 1
      let (rows, size) = isVector ? (0..<tensor.shape.columns, tensor.type.blockBytes) : (rows, rowBytes)
      for run in MLXRowRun.all(rows.lowerBound, rows.count, order) {
        let data = try float.bytes(run.target, run.sources.count, rowBytes: size)
        for (number, source) in run.sources.enumerated() {
          result.replaceSubrange(source * size..<(source + 1) * size, with: data[number * size..<(number + 1) * size])
        }
      }
    case .groups(let codes, let scales, let biases, let order):
      guard let format = tensor.type.affine else { break }
      let groups = tensor.shape.columns / format.group
      for run in MLXRowRun.all(rows.lowerBound, rows.count, order) {
        let count = run.sources.count
        let split = SplitRows(
          codes: try codes.bytes(run.target, count, rowBytes: groups * (format.type.blockBytes - 4)),
          scales: try scales.bytes(run.target, count, rowBytes: 2 * groups),
          biases: try biases.bytes(run.target, count, rowBytes: 2 * groups))
        result.withUnsafeMutableBytes { split.join(into: $0, run.sources, groups: groups, format) }
      }
    }
    return result
  }
}

extension StoredTensor {
  fileprivate func bytes(_ row: Int, _ count: Int, rowBytes: Int) throws -> [UInt8] {
    let start = offset + row * rowBytes
    return try file.bytes(in: start..<start + count * rowBytes)
  }
}
