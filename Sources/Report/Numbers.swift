import Foundation

/// A number with `significant` digits, without trailing zeros.
func plain(_ value: Double, significant: Int = 3) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
  let size = abs(value)
  if size < 0.0001 || size >= 1e7 { return String(format: "%.2g", value) }
  let digits = max(0, significant - 1 - Int(floor(log10(size))))
  let text = String(format: "%.\(min(digits, 6))f", value)
  guard text.contains(".") else { return text }
  let cut = text.reversed().drop { $0 == "0" }
  return String((cut.first == "." ? cut.dropFirst() : cut).reversed())
}

/// A number with grouped thousands: 1,234,567.
func grouped(_ value: Int) -> String { value.formatted(.number.locale(Locale(identifier: "en_US"))) }

/// A count in words: `4.23 million`.
func spoken(_ value: Int) -> String {
  for (name, size) in [("trillion", 1e12), ("billion", 1e9), ("million", 1e6)] where Double(value) >= size {
    return "\(plain(Double(value) / size)) \(name)"
  }
  return grouped(value)
}

/// Decimal units of bytes.
enum SizeUnit {
  /// The unit for a chart whose largest value is `gigabytes`, and its size in gigabytes.
  static func fitting(_ gigabytes: Double) -> (name: String, gigabytes: Double) {
    gigabytes >= 1 ? ("GB", 1) : gigabytes >= 1e-3 ? ("MB", 1e-3) : ("kB", 1e-6)
  }

  static func text(bytes: Int) -> String {
    let gigabytes = Double(bytes) * 1e-9
    let unit = fitting(gigabytes)
    return "\(plain(gigabytes / unit.gigabytes)) \(unit.name)"
  }
}
