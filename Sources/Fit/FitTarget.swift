import GGUF
import Quantize
import Tensors

/// A maximum size, and the files that can be written.
package struct FitTarget: Sendable {
  package let bytes: Int
  package let size: FileSize
  package let menus: TypeMenus
  private let source: any ModelSource
  private let hasImportance: Bool
  let constraints: TypeConstraints

  package init(
    _ bytes: Int, header: OutputHeader, hasImportance: Bool, constraints: TypeConstraints = TypeConstraints()
  ) {
    self.bytes = bytes
    source = header.source
    size = FileSize(header)
    menus = TypeMenus(of: header.source, hasImportance: hasImportance, constraints: constraints)
    self.hasImportance = hasImportance
    self.constraints = constraints
  }

  /// Bytes of the smallest file.
  package func smallest() throws -> Int { try size.bytes(of: size.smallest(menus.types)) }

  /// Bytes of the largest file: every tensor keeps its source type where the constraints allow it.
  package func largest() throws -> Int {
    try size.bytes(of: constraints.applied(to: source.tensors.map(\.type), of: source))
  }

  /// Refuses a target that no file can have.
  ///
  /// - Throws: `QuantizeError`
  package func check() throws {
    let smallest = try smallest()
    guard smallest <= bytes else {
      var free = TypeConstraints()
      free.withoutImportance = constraints.withoutImportance
      let menus = TypeMenus(of: source, hasImportance: hasImportance, constraints: free)
      let without = try size.bytes(of: size.smallest(menus.types))
      guard without < smallest else {
        throw QuantizeError.targetTooSmall(target: bytes, smallest: smallest, largest: try largest())
      }
      throw QuantizeError.constraintsTooLarge(target: bytes, smallest: smallest, withoutConstraints: without)
    }
    let largest = try largest()
    guard bytes <= largest else {
      throw QuantizeError.targetTooLarge(target: bytes, smallest: smallest, largest: largest)
    }
  }
}
