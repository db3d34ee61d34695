/// A number of bytes with a unit: `190GB`, `177 GiB`, `3.0MB`, `1024B`.
///
/// Decimal units (kB, MB, GB, TB) are powers of 1000, binary units (KiB, MiB, GiB, TiB) powers of 1024. A unit is
/// required, since GB and GiB differ by 7 %.
public struct ByteSize: Hashable, Sendable, CustomStringConvertible {
  /// The size in bytes.
  public let bytes: Int

  /// A size of `bytes` bytes.
  public init(bytes: Int) { self.bytes = bytes }

  /// Parses a size; a fraction of a byte is dropped.
  ///
  /// - Throws: ``ByteSizeError`` if the text has no number or no known unit, or is too large.
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

  /// The size in the largest unit in which it has at most three decimals.
  public var description: String {
    for (name, scale) in Self.units.sorted(by: { $0.bytes > $1.bytes }) where Double(bytes) >= scale {
      let thousandths = Double(bytes) / scale * 1000
      guard thousandths == thousandths.rounded() else { continue }
      let digits = String(Int(thousandths) % 1000 + 1000).dropFirst()
      let decimals = String(digits.reversed().drop { $0 == "0" }.reversed())
      return "\(Int(thousandths) / 1000)" + (decimals.isEmpty ? "" : "." + decimals) + name
    }
    return "\(bytes)B"
  }

  private static let units: [(name: String, bytes: Double)] = [
    ("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
    ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("TiB", 1_099_511_627_776),
  ]
}

/// A text that is not a size.
public struct ByteSizeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The text.
  let text: String
  /// The reason, worded to follow the text.
  let reason: String

  init(text: String, _ reason: String) {
    self.text = text
    self.reason = reason
  }

  /// One line with the text and the reason.
  public var description: String { "size \(text): \(reason)" }
}
