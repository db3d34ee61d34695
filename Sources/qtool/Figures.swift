import Foundation

/// Formatting of numbers.
enum Figures {
  /// Groups thousands: 1,234,567.
  static func grouped(_ value: Int) -> String {
    let digits = String(abs(value))
    var groups: [Substring] = []
    var end = digits.endIndex
    while end > digits.startIndex {
      let start = digits.index(end, offsetBy: -3, limitedBy: digits.startIndex) ?? digits.startIndex
      groups.insert(digits[start..<end], at: 0)
      end = start
    }
    return (value < 0 ? "-" : "") + groups.joined(separator: ",")
  }

  static func fixed(_ value: Double, _ digits: Int) -> String {
    let text = String(format: "%.\(digits)f", value)
    // A value that is rounded to zero has no sign.
    let isZero = value.isFinite && text.allSatisfy { $0 == "-" || $0 == "0" || $0 == "." }
    return isZero && value.sign == .minus ? String(text.dropFirst()) : text
  }

  /// Significant digits, never in exponent form above 1e-4.
  static func significant(_ value: Double, _ digits: Int = 4) -> String {
    guard value != 0, value.isFinite else { return value == 0 ? "0" : "\(value)" }
    let magnitude = Int(floor(log10(abs(value))))
    return magnitude < -5 ? String(format: "%.\(digits - 1)e", value) : fixed(value, max(0, digits - 1 - magnitude))
  }

  static func percent(_ fraction: Double, _ digits: Int = 2) -> String { fixed(fraction * 100, digits) + " %" }

  /// Bytes in decimal units: 1 GB is 10^9 bytes.
  static func bytes(_ value: Int) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]
    for (unit, size) in units where Double(value) >= size { return "\(significant(Double(value) / size)) \(unit)" }
    return "\(value) B"
  }

  static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    if whole < 60 { return seconds < 10 ? fixed(seconds, 1) + " s" : "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}
