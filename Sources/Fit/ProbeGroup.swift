import GGUF
import Quantize
import Tensors

/// Tensors that a probe rounds together: one class (all experts of a layer are one tensor) in a band of layers.
struct ProbeGroup: Sendable, Equatable {
  let name: String
  /// Layers of the band; empty for tensors outside of layers.
  let layers: Range<Int>
  let tensors: [TensorInfo]

  /// All groups of a model, with layers cut into `bands` of nearly equal length. With one band per layer, every tensor is
  /// a separate group.
  static func all(of source: any ModelSource, layers: Int, bands: Int) -> [ProbeGroup] {
    let tensors = source.tensors.filter(\.isQuantizable)
    var groups = tensors.filter { $0.layer == nil }.map { ProbeGroup(name: $0.name, layers: 0..<0, tensors: [$0]) }
    for band in 0..<bands {
      let range = band * layers / bands..<(band + 1) * layers / bands
      var classes: [String: [TensorInfo]] = [:]
      var order: [String] = []
      for tensor in tensors where tensor.layer.map(range.contains) == true {
        if classes[tensor.layerClass] == nil { order.append(tensor.layerClass) }
        classes[tensor.layerClass, default: []].append(tensor)
      }
      groups += order.map { name in
        let numbers = range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound - 1)"
        return ProbeGroup(name: "blk.\(numbers).\(name)", layers: range, tensors: classes[name]!)
      }
    }
    return groups
  }

  /// Cost of running these groups in passes through all layers, without the reference's. A layer whose weights are
  /// encoded for a probe counts twice.
  static func passes(_ groups: [ProbeGroup], layers: Int) -> Double {
    groups.reduce(0) { $0 + Double(layers - $1.layers.lowerBound + $1.layers.count) / Double(max(1, layers)) }
  }
}
