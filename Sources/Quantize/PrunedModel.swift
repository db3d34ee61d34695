import GGUF
import Tensors

/// A model without some of its layers; the others move up. As llama-quantize's --prune-layers.
public struct PrunedModel: ModelSource {
  private let base: any ModelSource
  /// The base's tensor by the name that it has here.
  private let originals: [String: TensorInfo]
  public let metadata: Metadata
  public let tensors: [TensorInfo]

  /// - Throws: ``QuantizeError`` where a layer is not there, or none would be left.
  public init(_ base: any ModelSource, without layers: Set<Int>) throws(QuantizeError) {
    let present = Set(base.tensors.compactMap(\.layer))
    if let missing = layers.subtracting(present).min() {
      throw .noSuchLayer(missing, model: base.name)
    }
    let left = present.subtracting(layers).sorted()
    guard !left.isEmpty else { throw .noLayerLeft }
    let places = Dictionary(uniqueKeysWithValues: left.enumerated().map { ($1, $0) })
    var originals: [String: TensorInfo] = [:]
    var tensors: [TensorInfo] = []
    for tensor in base.tensors {
      var name = tensor.name
      if let layer = tensor.layer {
        guard let place = places[layer] else { continue }
        name = TensorName(tensor.name).inLayer(place)
      }
      originals[name] = tensor
      tensors.append(TensorInfo(name: name, shape: tensor.shape, type: tensor.type))
    }
    var metadata = base.metadata
    if let architecture = metadata.optionalString("general.architecture") {
      metadata["\(architecture).block_count"] = .uint32(UInt32(left.count))
    }
    self.base = base
    self.originals = originals
    self.metadata = metadata
    self.tensors = tensors
  }

  public var name: String { base.name }

  /// The tensor of the whole model that `tensor` is, by which its importance is known.
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
