import Blocks
import GGUF
import Quantize
import Tensors

extension SensitivityTable {
  /// Every tensor's options for an allocation: the types of `menu` that fit it and its constraints, and its own type at
  /// no cost where nothing forbids it. In the source's order; bytes as in the file, padding included.
  ///
  /// - Parameter scale: what each tensor's costs are multiplied by, in the source's order; nil for 1.
  public func options(
    for source: any ModelSource, menu: [GGMLType], constraints: TypeConstraints = TypeConstraints(), alignment: Int,
    scale: [Double]? = nil
  ) -> [[AllocationOption]] {
    let known = Dictionary(uniqueKeysWithValues: entries.map { ($0.tensor, $0) })
    return source.tensors.enumerated().map { index, tensor in
      func option(_ type: GGMLType) -> AllocationOption? {
        guard let size = Sizes.bytes(tensor, as: type, alignment: alignment) else { return nil }
        // A pinned type may be one that was not measured: it is the only choice, whatever its cost.
        let cost = type == tensor.type ? 0 : known[tensor.name]?.cost(of: type) ?? 0
        return AllocationOption(type: type, bytes: size, cost: cost * (scale?[index] ?? 1))
      }
      let own = option(tensor.type).map { [$0] } ?? []
      guard tensor.isQuantizable, let entry = known[tensor.name] else { return own }
      if let pinned = constraints.pinned(tensor) { return option(pinned).map { [$0] } ?? own }
      let allowed = constraints.menu(for: tensor, from: menu).filter {
        $0 != tensor.type && entry.errors[$0.name] != nil
      }
      let others = allowed.compactMap(option).filter { $0.bytes < own[0].bytes }
      return constraints.allows(tensor.type) || others.isEmpty ? others + own : others
    }
  }

  /// The group of every tensor in the source's order: tensors that share a coefficient have the same number.
  public func groups(of source: any ModelSource) -> [Int] {
    let known = Dictionary(uniqueKeysWithValues: entries.map { ($0.tensor, $0) })
    var numbers: [String: Int] = [:]
    return source.tensors.map { tensor in
      let name = known[tensor.name].map { $0.probe ?? tensor.layerClass } ?? ""
      let number = numbers[name] ?? numbers.count
      numbers[name] = number
      return number
    }
  }
}
