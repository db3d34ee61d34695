/// A number of bytes as people write it: `190GB`, `177 GiB`, `3.0MB`, `1024B`.
///
/// Decimal units (kB, MB, GB, TB) are powers of 1000, binary ones (KiB, MiB, GiB, TiB) powers of 1024. A unit is needed:
/// the two differ by 7 % at GB.
public struct ByteSize: Hashable, Sendable {
  public let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  /// - Throws: ``ByteSizeError`` with what is wrong.
  public init(_ text: String) throws(ByteSizeError) {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    guard let number = Double(digits), !digits.isEmpty else {
      throw ByteSizeError(text: text, "does not begin with a number")
    }
    guard !unit.isEmpty else { throw ByteSizeError(text: text, "has no unit") }
    guard let scale = Self.units.first(where: { $0.name.lowercased() == unit.lowercased() })?.bytes else {
      throw ByteSizeError(text: text, "has the unknown unit \(unit)")
    }
    let value = (number * scale).rounded(.down)
    guard value < 9e18 else { throw ByteSizeError(text: text, "is too large") }
    bytes = Int(value)
  }

  private static let units: [(name: String, bytes: Double)] = [
    ("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
    ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("TiB", 1_099_511_627_776),
  ]
}

/// Why a text is no size.
public struct ByteSizeError: Error, Equatable, Sendable, CustomStringConvertible {
  public let text: String
  public let reason: String

  init(text: String, _ reason: String) {
    self.text = text
    self.reason = reason
  }

  public var description: String { "size \(text): \(reason)" }
  public var hint: String { "write a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 190GB or 177GiB" }
}
