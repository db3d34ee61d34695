import Blocks
import GGUF
import Quantize
import Tensors

extension SensitivityTable {
  /// Every tensor's options for an allocation: the types of `menu` that fit it, its own type at no cost, and for
  /// tensors that may not change their own type alone. In the source's order; bytes as in the file, padding included.
  public func options(for source: any ModelSource, menu: [GGMLType], alignment: Int) -> [[AllocationOption]] {
    let known = Dictionary(uniqueKeysWithValues: entries.map { ($0.tensor, $0) })
    func bytes(_ tensor: TensorInfo, _ type: GGMLType) -> Int? {
      Sizes.bytes(tensor, as: type, alignment: alignment)
    }
    return source.tensors.map { tensor in
      let own = AllocationOption(type: tensor.type, bytes: bytes(tensor, tensor.type) ?? 0, cost: 0)
      guard tensor.isQuantizable, let entry = known[tensor.name] else { return [own] }
      let others = menu.compactMap { type -> AllocationOption? in
        guard type != tensor.type, let cost = entry.cost(of: type), let size = bytes(tensor, type), size < own.bytes
        else { return nil }
        return AllocationOption(type: type, bytes: size, cost: cost)
      }
      return others + [own]
    }
  }
}
