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
    case float([StoredTensor], Order)
    /// Elements that MLX has in another form.
    case changed(StoredTensor, MLXElementChange, Order)
    case groups([Groups], Order)
    case microscaled([Groups], Order)
  }

  private struct Groups: Sendable {
    let codes: StoredTensor
    let scales: StoredTensor
    var biases: StoredTensor?
  }

  private struct Order: Sendable {
    let rows: MLXRowOrder?
    let columns: MLXColumnOrder?
  }

  private let shapes: ModelShapes

  /// Whether a directory's config.json declares groups of MLX, or its floats have names that only MLX gives.
  public static func isMLX(_ path: String) -> Bool {
    guard ModelLocation.isCheckpoint(path), let location = try? ModelLocation(path),
      let config = try? JSONValue.read(location.directory + "/config.json", limit: 16 << 20)
    else { return false }
    if config["quantization"]?["bits"]?.int != nil, config["quantization"]?["group_size"]?.int != nil { return true }
    guard let type = config["model_type"]?.string, MLXNames(modelType: type) != nil,
      let first = Self.files(in: location.directory).first,
      let weights = try? Safetensors(path: location.directory + "/" + first)
    else { return false }
    return weights.tensors.contains { tensor in
      [".switch_mlp.", ".embed_q.", ".switch_glu.", ".experts.gate_proj."].contains { tensor.name.contains($0) }
        || tensor.name.hasSuffix(".conv1d.weight") && tensor.shape.last == 1
    }
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
    guard let names = MLXNames(modelType: modelType) else {
      throw FormatError(
        path: configPath, subject: "key model_type", "is \(modelType), whose names in MLX are unknown",
        hint: "known: " + MLXNames.modelTypes.joined(separator: ", "))
    }
    let weights = try Self.weights(in: directory)
    let family = names.family
    let shapes = try ModelShapes(path: directory, ignoring: ignoring) {
      weights[$0] != nil || weights["language_model." + $0] != nil
    }
    self.shapes = shapes
    name = shapes.name
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
      let order = Order(rows: MLXRowOrder(tensor, of: shapes), columns: MLXColumnOrder(tensor, of: shapes))
      var shape = names.dimensions(of: tensor)
      let second = names.second(of: tensor.name)
      if second != nil { shape[shape.count - 2] /= 2 }
      var floats: [StoredTensor] = []
      var groups: [Groups] = []
      var types = Set<GGMLType>()
      for module in [module, second].compactMap({ $0 }) {
        guard let main = weights["\(module).\(suffix)"] else {
          throw FormatError(path: directory, subject: "tensor \(module).\(suffix)", "is missing")
        }
        used.insert(main.name)
        guard suffix == "weight", let scales = weights["\(module).scales"] else {
          guard let type = main.element.type, main.shape == shape else {
            throw FormatError(
              path: main.file.path, subject: "tensor \(main.name)",
              "is \(main.element.rawValue) of shape \(main.shape); config.json implies \(shape)")
          }
          floats.append(main)
          types.insert(type)
          continue
        }
        used.insert(scales.name)
        if try entries.isMicroscaled(module, main, scales, shape) {
          groups.append(Groups(codes: main, scales: scales))
          types.insert(.mxfp4)
          continue
        }
        let biases = weights["\(module).biases"]
        let format = try entries.format(of: module, main, scales, biases: biases, shape)
        used.insert("\(module).biases")
        groups.append(Groups(codes: main, scales: scales, biases: biases))
        types.insert(format.type)
        if order.columns?.admits(format.type) == false {
          throw FormatError(
            path: main.file.path, subject: "tensor \(main.name)",
            "has groups that cross heads, whose order differs in a GGUF; such a directory can't be read as a model")
        }
      }
      guard types.count == 1, let type = types.first, floats.isEmpty || groups.isEmpty else {
        throw FormatError(
          path: main.file.path, subject: "tensor \(main.name)",
          "and \(second ?? "")'s have different types, which one tensor of a GGUF can't have")
      }
      let change = names.change(of: tensor.name)
      tensors.append(TensorInfo(name: tensor.name, shape: tensor.shape, type: change == nil ? type : .f32))
      if let change {
        stored[tensor.name] = .changed(main, change, order)
      } else if groups.isEmpty {
        stored[tensor.name] = .float(floats, order)
      } else {
        stored[tensor.name] = type == .mxfp4 ? .microscaled(groups, order) : .groups(groups, order)
      }
    }
    // Files of older versions of mlx_lm have DeepSeek V3's matrices as V2's.
    let hasLatents = weights.keys.contains { $0.hasSuffix(".kv_b_proj.weight") }
    let joined = family == .deepseek3 && hasLatents ? .deepseek2 : family
    for tensor in shapes.tensors where !JointTensor.isSecond(tensor.name, family: joined) {
      guard let joint = JointTensor(tensor, of: shapes, family: joined), let matrix = joint.tensor else {
        try add(tensor)
        continue
      }
      try add(matrix)
      if case .latent(let k, let v) = joint {
        metadata.expandLatents(heads: k.shape.matrices, key: k.shape.columns, value: v.shape.rowsPerMatrix)
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
    case .float(let tensors, _): tensors.first?.file.path
    case .changed(let tensor, _, _): tensor.file.path
    case .groups(let groups, _), .microscaled(let groups, _): groups.first?.codes.file.path
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
    case .changed(let float, let change, let order):
      guard let type = float.element.type else { break }
      // All of them are vectors.
      let stored = try Self.floats([float], order.rows, 0..<tensor.shape.columns, size: type.blockBytes)
      var values = [Float](repeating: 0, count: tensor.shape.columns)
      var span = values.mutableSpan
      decodeRows(stored.span.bytes, as: type, into: &span)
      result = values.flatMap { value in withUnsafeBytes(of: change.fromMLX(value)) { Array($0) } }
    case .float(let parts, let order):
      // A vector has an element a row.
      let isVector = tensor.shape.dimensions.count == 1
      let (rows, size) = isVector ? (0..<tensor.shape.columns, tensor.type.blockBytes) : (rows, rowBytes)
      result = try Self.floats(parts, order.rows, rows, size: size)
      if let columns = order.columns { result = columns.fromMLX(result, rowBytes: rowBytes) }
    case .microscaled(let parts, let order):
      let groups = tensor.shape.columns / 32
      for run in MLXRowRun.all(rows.lowerBound, rows.count, order.rows) {
        let (part, count) = (parts[run.part], run.sources.count)
        let split = MicroscaledRows(
          codes: try part.codes.bytes(run.target, count, rowBytes: groups * MicroscaledRows.codeBytes),
          scales: try part.scales.bytes(run.target, count, rowBytes: groups))
        result.withUnsafeMutableBytes { split.join(into: $0, run.sources, groups: groups) }
      }
    case .groups(let parts, let order):
      guard let format = tensor.type.affine else { break }
      let groups = tensor.shape.columns / format.group
      for run in MLXRowRun.all(rows.lowerBound, rows.count, order.rows) {
        let (part, count) = (parts[run.part], run.sources.count)
        guard let biases = part.biases else { break }
        let split = SplitRows(
          codes: try part.codes.bytes(run.target, count, rowBytes: groups * (format.type.blockBytes - 4)),
          scales: try part.scales.bytes(run.target, count, rowBytes: 2 * groups),
          biases: try biases.bytes(run.target, count, rowBytes: 2 * groups))
        result.withUnsafeMutableBytes { split.join(into: $0, run.sources, groups: groups, format) }
      }
      if let columns = order.columns { result = columns.fromMLX(result, rowBytes: rowBytes) }
    }
    return result
  }

  /// Rows of floats in GGUF's order.
  private static func floats(
    _ parts: [StoredTensor], _ order: MLXRowOrder?, _ rows: Range<Int>, size: Int
  ) throws -> [UInt8] {
    var result = [UInt8](repeating: 0, count: rows.count * size)
    for run in MLXRowRun.all(rows.lowerBound, rows.count, order) {
      let data = try parts[run.part].bytes(run.target, run.sources.count, rowBytes: size)
      for (number, source) in run.sources.enumerated() {
        result.replaceSubrange(source * size..<(source + 1) * size, with: data[number * size..<(number + 1) * size])
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
