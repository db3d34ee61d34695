import GGUF
import Quantize
import Tensors

/// Finds the types of minimum cost for a file of a given size, header included.
package struct TargetAllocator: Sendable {
  package let size: FileSize
  /// Options by tensor, in the file's order.
  package let options: [[AllocationOption]]
  private let solver: AllocationSolver

  /// - Parameter target: the maximum target.
  package init(_ options: [[AllocationOption]], size: FileSize, upTo target: Int) {
    self.options = options
    self.size = size
    solver = AllocationSolver(options, upTo: target - size.minimumHeaderBytes)
  }

  /// The cheapest types whose file has at most `target` bytes; nil only if no file is that small.
  ///
  /// The header contains the recipe, so its length depends on the types. Bytes are reserved for it, and the reserve grows
  /// until the file fits. If that leaves too few bytes for the tensors, the result is the smallest file.
  package func types(for target: Int) throws -> [GGMLType]? {
    var reserved = try size.headerBytes(of: size.tensors.map(\.type))
    var round = 0
    while let allocation = solver.allocation(budget: target - reserved) {
      let types = zip(options, allocation.choices).map { $0[$1].type }
      let header = try size.headerBytes(of: types)
      if header + allocation.bytes <= target { return types }
      // The tensors fit their share, so the header is longer than its reserve. Two or three rounds are nearly always
      // enough; from the eighth on, an extra reserve guarantees an end.
      round += 1
      reserved = header + (round < 8 ? 0 : size.alignment << min(round - 8, 16))
    }
    let smallest = try smallest()
    return try size.bytes(of: smallest) <= target ? smallest : nil
  }

  /// The types of the smallest file.
  package func smallest() throws -> [GGMLType] { try size.smallest(options.map { $0.map(\.type) }) }
}
