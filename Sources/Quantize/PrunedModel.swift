import GGUF
import Tensors

/// A model without some of its layers. The remaining layers are renumbered, as with llama-quantize's --prune-layers.
public struct PrunedModel: ModelSource {
  private let base: any ModelSource
  /// The base's tensors by their names in this model.
  private let originals: [String: TensorInfo]
  public let metadata: Metadata
  public let tensors: [TensorInfo]

  /// - Throws: ``QuantizeError/noSuchLayer(_:model:)``, ``QuantizeError/noLayerLeft``
  public init(_ base: any ModelSource, without layers: Set<Int>) throws(QuantizeError) {
    let present = Set(base.tensors.compactMap(\.layer))
    if let missing = layers.subtracting(present).min() {
      throw .noSuchLayer(missing, model: base.name)
    }
    let remaining = present.subtracting(layers).sorted()
    guard !remaining.isEmpty else { throw .noLayerLeft }
    let indices = Dictionary(uniqueKeysWithValues: remaining.enumerated().map { ($1, $0) })
    var originals: [String: TensorInfo] = [:]
    var tensors: [TensorInfo] = []
    for tensor in base.tensors {
      var name = tensor.name
      if let layer = tensor.layer {
        guard let index = indices[layer] else { continue }
        name = TensorName(tensor.name).inLayer(index)
      }
      originals[name] = tensor
      tensors.append(TensorInfo(name: name, shape: tensor.shape, type: tensor.type))
    }
    var metadata = base.metadata
    if let architecture = metadata.optionalString("general.architecture") {
      metadata["\(architecture).block_count"] = .uint32(UInt32(remaining.count))
    }
    self.base = base
    self.originals = originals
    self.metadata = metadata
    self.tensors = tensors
  }

  public var name: String { base.name }

  /// The tensor in the whole model, under whose name importance is stored.
  public func original(of tensor: TensorInfo) -> TensorInfo { originals[tensor.name] ?? tensor }

  public func tensor(named name: String) -> TensorInfo? {
    originals[name].map { TensorInfo(name: name, shape: $0.shape, type: $0.type) }
  }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try base.readBytes(of: original(of: tensor), rows: rows, into: &output)
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try base.readRows(of: original(of: tensor), rows: rows, into: &output)
  }
}
