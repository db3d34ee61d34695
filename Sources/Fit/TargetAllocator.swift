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

/// A size that a file is to have, and the files that there can be.
public struct FitTarget: Sendable {
  public let bytes: Int
  public let size: FileSize
  public let menus: TypeMenus
  private let source: any ModelSource
  private let coverage: TypeMenus.Coverage
  private let constraints: TypeConstraints

  public init(
    _ bytes: Int, header: OutputHeader, coverage: TypeMenus.Coverage, constraints: TypeConstraints = TypeConstraints()
  ) {
    self.bytes = bytes
    source = header.source
    size = FileSize(header)
    menus = TypeMenus(of: header.source, coverage: coverage, constraints: constraints)
    self.coverage = coverage
    self.constraints = constraints
  }

  /// Bytes of the smallest file.
  public func smallest() throws -> Int { try size.bytes(of: size.smallest(menus.types)) }

  /// Bytes of the largest file: every tensor has its own type where the constraints allow it.
  public func largest() throws -> Int {
    try size.bytes(of: constraints.applied(to: source.tensors.map(\.type), of: source))
  }

  /// Refuses a target that no file can have.
  ///
  /// - Throws: `QuantizeError`
  public func check() throws {
    let smallest = try smallest()
    guard smallest <= bytes else {
      let free = try size.bytes(of: size.smallest(TypeMenus(of: source, coverage: coverage).types))
      guard free < smallest else {
        throw QuantizeError.targetTooSmall(target: bytes, smallest: smallest, largest: try largest())
      }
      throw QuantizeError.constraintsTooLarge(target: bytes, smallest: smallest, withoutConstraints: free)
    }
    let largest = try largest()
    guard bytes <= largest else {
      throw QuantizeError.targetTooLarge(target: bytes, smallest: smallest, largest: largest)
    }
  }
}
