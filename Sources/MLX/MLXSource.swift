import Blocks
import Checkpoint
import Files
import GGUF
import Quantize
import Tensors

/// A Hugging Face directory as mlx_lm would hold it: all float tensors in one 16-bit type.
///
/// Tensors have GGUF's names, shapes and order of rows, so that importance, sensitivities and mixes are those of a GGUF. Only
/// DeepSeek V2 and Qwen 3 Next differ, whose matrices `attn_kv_b` and `ssm_in` are two of a GGUF (``JointTensor``).
public struct MLXSource: FormedSource {
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  /// The model, with the weights that the user wants replaced.
  private let base: any ModelSource
  private let indices: [String: Int]
  /// Matrices that the model has as two.
  private let joint: [String: JointTensor]
  /// The type of float tensors.
  public let scales: AffineFormat.Scales
  let names: MLXNames
  let folder: MLXFolder
  let arguments: MLXClassArguments

  public var name: String { base.name }
  public var form: any OutputForm { MLXForm(source: self) }
  public var measured: any ModelSource { joint.isEmpty ? base : self }

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
        "is \(folder.modelType), \(MLXClass.reason(modelType: folder.modelType))",
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
    var joint: [String: JointTensor] = [:]
    let layers = metadata.withoutPrediction() ?? .max
    try folder.mlxClass.check(base, metadata: metadata, in: folder)
    arguments = try MLXClassArguments(base, metadata: metadata, in: folder)
    for tensor in base.tensors where TensorName(tensor.name).layer ?? 0 < layers {
      guard MLXNames.isOmitted(tensor.name) || names.name(of: tensor.name) != nil else {
        throw FormatError(path: folder.directory, subject: "tensor \(tensor.name)", "has no name in MLX")
      }
      if let first = JointTensor.first(ofSecond: tensor.name, family: family) {
        guard let half = base.tensor(named: first), JointTensor(half, of: base, family: family)?.tensor != nil else {
          throw FormatError(
            path: folder.directory, subject: "tensor \(tensor.name)", "does not fit the matrix with which MLX joins it")
        }
        continue
      }
      if let both = JointTensor(tensor, of: base, family: family), let matrix = both.tensor {
        tensors.append(TensorInfo(name: matrix.name, shape: matrix.shape, type: scales.type))
        joint[matrix.name] = both
        continue
      }
      let keeps =
        tensor.type.isInteger || tensor.type == .mxfp4 || MLXNames.isOmitted(tensor.name)
        || MLXNames.isSingle(tensor.name)
      tensors.append(TensorInfo(name: tensor.name, shape: tensor.shape, type: keeps ? tensor.type : scales.type))
    }
    if case .latent(let k, let v)? = joint.values.first {
      metadata.expandLatents(heads: k.shape.matrices, key: k.shape.columns, value: v.shape.rowsPerMatrix)
    }
    self.metadata = metadata
    self.tensors = tensors
    self.joint = joint
    indices = Dictionary(tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Matrices that stay float, since no group divides their rows.
  public var undivided: [TensorInfo] {
    let form = form
    let menu = form.menu
    return tensors.filter { tensor in
      tensor.isQuantizable && !tensor.type.isQuantized && menu.allSatisfy { form.bytes(of: tensor, as: $0) == nil }
    }
  }

  public func tensor(named name: String) -> TensorInfo? { indices[name].map { tensors[$0] } }

  private func stored(_ tensor: TensorInfo) -> TensorInfo? { base.tensor(named: tensor.name) }

  public func path(of tensor: TensorInfo) -> String? {
    base.path(of: joint[tensor.name]?.first ?? stored(tensor) ?? tensor)
  }

  /// Rows as the checkpoint has them: not rounded to 16 bits, since blocks are encoded from them.
  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    if let both = joint[tensor.name] { return try both.readRows(rows, of: base, into: &output) }
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
}

extension Metadata {
  /// Removes the blocks for multi-token prediction, which MLX does not have, and returns the number of layers; nil for a
  /// model without these blocks.
  mutating func withoutPrediction() -> Int? {
    let name = optionalString("general.architecture") ?? ""
    let (all, prediction) = ("\(name).block_count", "\(name).nextn_predict_layers")
    guard let blocks = optionalInt(prediction), let stored = optionalInt(all) else { return nil }
    let count = stored - blocks
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
