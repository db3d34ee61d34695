import Foundation
import TestSupport
import Testing

/// Pointers, unchecked conversions and manual lifetimes are only in the files that Documentation/architecture.md lists,
/// and every listed file has some.
@Suite struct UnsafeAddressTests {
  private static let marks =
    #"Unsafe(Mutable)?(Raw)?(Buffer)?Pointer|withUnsafe|_unsafe|unsafe[A-Z]\w*[(:]|\(unsafe\)|[eE]xtend(ed)?Lifetime"#

  /// The paths in the table's second column: files, or folders with a slash at the end.
  private static func addresses() throws -> [String] {
    let text = try String(
      contentsOf: Repository.root.appending(path: "Documentation/architecture.md"), encoding: .utf8)
    let section = try #require(text.range(of: "| Unsafe code | Files |")).upperBound
    return text[section...].split(separator: "\n", omittingEmptySubsequences: false).dropFirst(2)
      .prefix { $0.hasPrefix("|") }
      .flatMap { $0.split(separator: "|")[1].split(separator: "`").enumerated().filter { $0.offset % 2 == 1 } }
      .map { String($0.element) }
  }

  private static func holds(_ address: String, _ path: String) -> Bool {
    address.hasSuffix("/") ? path.hasPrefix(address) : path == address
  }

  @Test func unsafeCodeIsAtTheListedAddressesAlone() throws {
    let addresses = try Self.addresses()
    #expect(addresses.count > 5)
    let marks = try Regex(Self.marks)
    let unsafe = try SourceFiles.withoutComments().filter { $0.value.firstMatch(of: marks) != nil }.keys
    for path in unsafe.sorted() {
      #expect(addresses.contains { Self.holds($0, path) }, "\(path) has unsafe code, and is not listed")
    }
    for address in addresses {
      #expect(unsafe.contains { Self.holds(address, $0) }, "\(address) is listed, and has no unsafe code")
    }
  }

  /// Lifetimes are extended in one file; BLAS and its threads are called from files of one name.
  @Test(arguments: [
    ("withExtendedLifetime|extendLifetime", ["Transformer/Storage/FloatBuffer.swift"]),
    (
      "cblas_|openblas_|import Accelerate",
      ["Tensors/Product/BLAS+Darwin.swift", "Tensors/Product/BLAS+Linux.swift"]
    ),
  ])
  func hasOneAddress(pattern: String, expected: [String]) throws {
    let regex = try Regex(pattern)
    #expect(
      try SourceFiles.withoutComments().filter { $0.value.firstMatch(of: regex) != nil }.keys.sorted() == expected)
  }
}
