import Blocks
import Checkpoint
import Files
import GGUF
import Quantize
import Tensors

/// A Hugging Face directory as mlx_lm would hold it: all float tensors in one 16-bit type.
///
/// Tensors have GGUF's names, shapes and order of rows, so that importance, sensitivities and mixes are those of a GGUF. Only
/// DeepSeek V2 differs: its keys and values are expanded by one matrix, `attn_kv_b`.
public struct MLXSource: FormedSource {
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  /// The model, with the weights that the user wants replaced.
  private let base: any ModelSource
  private let indices: [String: Int]
  /// The halves of each `attn_kv_b`.
  private let halves: [String: (k: TensorInfo, v: TensorInfo)]
  /// The type of float tensors.
  public let scales: AffineFormat.Scales
  let names: MLXNames
  let folder: MLXFolder

  public var name: String { base.name }
  public var form: any OutputForm { MLXForm(source: self) }
  public var measured: any ModelSource { halves.isEmpty ? base : self }

  /// - Parameters:
  ///   - checkpoint: the model.
  ///   - base: the same tensors, perhaps with other weights.
  ///   - version: qtool's version, for config.json.
  /// - Throws: `FormatError` for a model type whose names in MLX are unknown.
  public init(_ checkpoint: CheckpointDirectory, reading base: any ModelSource, version: String) throws {
    try self.init(describing: base, directory: checkpoint.directory, version: version)
  }

  /// - Parameters:
  ///   - base: the model, or only its shapes.
  ///   - directory: the folder with its config.json and tokenizer.
  public init(describing base: any ModelSource, directory: String, version: String) throws {
    folder = try MLXFolder(directory: directory, name: base.name, version: version)
    guard let names = MLXNames(modelType: folder.modelType) else {
      throw FormatError(
        path: folder.configPath, subject: "key model_type",
        "is \(folder.modelType), whose names in MLX are unknown",
        hint: "known: " + MLXNames.modelTypes.joined(separator: ", "))
    }
    self.names = names
    let family = names.family
    self.base = base
    let halfWeights = base.tensors.reduce(0) { $0 + ($1.type == .f16 ? $1.shape.count : 0) }
    let otherWeights = base.tensors.reduce(0) { $0 + ($1.isQuantizable && $1.type != .f16 ? $1.shape.count : 0) }
    scales = halfWeights > otherWeights ? .f16 : .bf16
    var metadata = base.metadata
    var tensors: [TensorInfo] = []
    var halves: [String: (k: TensorInfo, v: TensorInfo)] = [:]
    let layers = family == .qwen35 ? metadata.withoutPrediction() : .max
    for tensor in base.tensors where TensorName(tensor.name).layer ?? 0 < layers {
      guard MLXNames.isOmitted(tensor.name) || names.name(of: tensor.name) != nil else {
        throw FormatError(path: folder.directory, subject: "tensor \(tensor.name)", "has no name in MLX")
      }
      if family == .deepseek2, tensor.name.hasSuffix(".attn_v_b.weight") { continue }
      if family == .deepseek2, tensor.name.hasSuffix(".attn_k_b.weight"),
        let v = base.tensor(named: tensor.name.replacing("attn_k_b", with: "attn_v_b")),
        let shape = Shape([
          tensor.shape.dimensions[1],
          tensor.shape.matrices * (tensor.shape.columns + v.shape.rowsPerMatrix),
        ])
      {
        let joint = tensor.name.replacing("attn_k_b", with: "attn_kv_b")
        tensors.append(TensorInfo(name: joint, shape: shape, type: scales.type))
        halves[joint] = (tensor, v)
        continue
      }
      let keeps =
        tensor.type.isInteger || tensor.type == .mxfp4 || MLXNames.isOmitted(tensor.name)
        || MLXNames.isSingle(tensor.name)
      tensors.append(TensorInfo(name: tensor.name, shape: tensor.shape, type: keeps ? tensor.type : scales.type))
    }
    if let (k, v) = halves.values.first {
      metadata.expandLatents(heads: k.shape.matrices, key: k.shape.columns, value: v.shape.rowsPerMatrix)
    }
    self.metadata = metadata
    self.tensors = tensors
    self.halves = halves
    indices = Dictionary(tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  public func tensor(named name: String) -> TensorInfo? { indices[name].map { tensors[$0] } }

  private func stored(_ tensor: TensorInfo) -> TensorInfo? { base.tensor(named: tensor.name) }

  public func path(of tensor: TensorInfo) -> String? {
    base.path(of: halves[tensor.name]?.k ?? stored(tensor) ?? tensor)
  }

  /// Rows as the checkpoint has them: not rounded to 16 bits, since blocks are encoded from them.
  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    if let (k, v) = halves[tensor.name] { return try readJoint(k, v, rows, into: &output) }
    guard let stored = stored(tensor) else { preconditionFailure("\(name) has no tensor \(tensor.name)") }
    try base.readRows(of: stored, rows: rows, into: &output)
  }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let change = names.change(of: tensor.name)
    if change == nil, let stored = stored(tensor), stored.type == tensor.type {
      return try base.readBytes(of: stored, rows: rows, into: &output)
    }
    let columns = tensor.shape.columns
    var floats = try self.rows(rows, of: tensor)
    if let change { for index in floats.indices { floats[index] = change.toMLX(floats[index]) } }
    if tensor.type == .f16, let index = floats.firstIndex(where: { abs($0) >= 65520 && $0.isFinite }) {
      throw QuantizeError.beyondHalf(
        tensor: tensor.name, row: rows.lowerBound + index / columns, column: index % columns, path: path(of: tensor))
    }
    do {
      try encodeRows(floats.span, columns: columns, importance: nil, as: tensor.type, into: &output)
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: rows.lowerBound + row, column: column, path: path(of: tensor))
    }
  }

  /// Rows of `attn_kv_b`: of each head first the rows of keys, which `attn_k_b` holds as columns, then those of values.
  private func readJoint(
    _ k: TensorInfo, _ v: TensorInfo, _ rows: Range<Int>, into output: inout MutableSpan<Float>
  ) throws {
    let (nope, rank, value) = (k.shape.columns, k.shape.rowsPerMatrix, v.shape.rowsPerMatrix)
    var row = rows.lowerBound
    while row < rows.upperBound {
      let (head, first) = row.quotientAndRemainder(dividingBy: nope + value)
      let start = (row - rows.lowerBound) * rank
      if first < nope {
        let count = min(nope - first, rows.upperBound - row)
        let matrix = try base.rows(head * rank..<(head + 1) * rank, of: k)
        for i in 0..<count {
          for column in 0..<rank { output[start + i * rank + column] = matrix[column * nope + first + i] }
        }
        row += count
      } else {
        let count = min(nope + value - first, rows.upperBound - row)
        let from = head * value + first - nope
        let part = try base.rows(from..<from + count, of: v)
        for i in part.indices { output[start + i] = part[i] }
        row += count
      }
    }
  }
}

extension Metadata {
  /// Removes the blocks for multi-token prediction, which MLX does not have, and returns the number of layers.
  mutating func withoutPrediction() -> Int {
    let name = optionalString("general.architecture") ?? ""
    let (all, prediction) = ("\(name).block_count", "\(name).nextn_predict_layers")
    let count = (optionalInt(all) ?? 0) - (optionalInt(prediction) ?? 0)
    removeValue(forKey: prediction)
    self[all] = .uint32(UInt32(clamping: count))
    return count
  }

  /// The keys of latent attention whose keys and values are expanded per head.
  mutating func expandLatents(heads: Int, key: Int, value: Int) {
    let name = optionalString("general.architecture") ?? ""
    self["\(name).attention.head_count_kv"] = .uint32(UInt32(clamping: heads))
    let rotated = optionalInt("\(name).rope.dimension_count") ?? 0
    self["\(name).attention.key_length"] = .uint32(UInt32(clamping: key + rotated))
    self["\(name).attention.value_length"] = .uint32(UInt32(clamping: value))
    removeValue(forKey: "\(name).attention.key_length_mla")
    removeValue(forKey: "\(name).attention.value_length_mla")
  }
}
