import Blocks
import GGUF
import Quantize
import Tensors

extension SensitivityTable {
  /// Options of every tensor, in the source's order: the types of its menu whose errors were measured, and its source type
  /// at no cost. Bytes include padding.
  ///
  /// - Parameters:
  ///   - scale: factor of each tensor's costs, in the source's order; nil for 1.
  ///   - feedback: the file is written with error feedback; nil if it is not.
  package func options(
    _ menus: TypeMenus, alignment: Int, scale: [Double]? = nil, feedback: FeedbackFactors? = nil
  ) -> [[AllocationOption]] {
    let entries = Dictionary(uniqueKeysWithValues: entries.map { ($0.tensor, $0) })
    return menus.tensors.indices.map { index in
      let tensor = menus.tensors[index]
      let entry = entries[tensor.name]
      let options = menus.types[index].compactMap { type -> AllocationOption? in
        guard let bytes = tensor.bytes(as: type, alignment: alignment) else { return nil }
        // The only type of a menu, such as a pinned one, need not be measured: it is chosen at any cost.
        let isMeasured = type == tensor.type || menus.types[index].count == 1 || entry?.errors[type.name] != nil
        let cost = type == tensor.type ? 0 : entry?.cost(of: type) ?? 0
        let factor = (scale?[index] ?? 1) * (feedback?.factor(of: tensor, as: type) ?? 1)
        return isMeasured ? AllocationOption(type: type, bytes: bytes, cost: cost * factor) : nil
      }
      guard options.isEmpty, let bytes = tensor.bytes(as: tensor.type, alignment: alignment) else { return options }
      return [AllocationOption(type: tensor.type, bytes: bytes, cost: 0)]
    }
  }

  /// Group number of every tensor, in the source's order. Tensors that share a coefficient have the same number.
  package func groups(of source: any ModelSource) -> [Int] {
    let entries = Dictionary(uniqueKeysWithValues: entries.map { ($0.tensor, $0) })
    var numbers: [String: Int] = [:]
    return source.tensors.map { tensor in
      let name = entries[tensor.name].map { $0.probe ?? tensor.layerClass } ?? ""
      let number = numbers[name] ?? numbers.count
      numbers[name] = number
      return number
    }
  }
}
