import GGUF
import Quantize
import Tensors

/// The types that cost the least in a file of a given size, its header included.
public struct TargetAllocator: Sendable {
  public let size: FileSize
  /// By tensor, in the file's order.
  public let options: [[AllocationOption]]
  private let solver: AllocationSolver

  /// - Parameter target: the largest target that will be asked for.
  public init(_ options: [[AllocationOption]], size: FileSize, upTo target: Int) {
    self.options = options
    self.size = size
    solver = AllocationSolver(options, upTo: target - size.leastHeaderBytes)
  }

  /// The cheapest types whose file has at most `target` bytes; nil only where no file is as small.
  ///
  /// The header's length depends on the types, by the recipe in it. So bytes are reserved for it, and more of them until
  /// the file fits; where that leaves too few for the tensors, the smallest file is left.
  public func types(for target: Int) throws -> [GGMLType]? {
    var reserved = try size.headerBytes(of: size.tensors.map(\.type))
    var round = 0
    while let allocation = solver.allocation(budget: target - reserved) {
      let types = zip(options, allocation.choices).map { $0[$1].type }
      let header = try size.headerBytes(of: types)
      if header + allocation.bytes <= target { return types }
      // The tensors fit what was left, so that the header is longer than what was reserved. It nearly always settles in
      // two or three rounds; from the eighth on, the reserve grows by itself too.
      round += 1
      reserved = header + (round < 8 ? 0 : size.alignment << min(round - 8, 16))
    }
    let smallest = try smallest()
    return try size.bytes(of: smallest) <= target ? smallest : nil
  }

  /// The types of the smallest file.
  public func smallest() throws -> [GGMLType] { try size.smallest(options.map { $0.map(\.type) }) }
}
