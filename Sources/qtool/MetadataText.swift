import GGUF

/// Formatting of metadata: values on one line, arrays as their count and first elements.
enum MetadataText {
  /// `"llama"`, `131072`, `[128256 strings] "!", "\"", "#", …`; at most about `width` characters.
  static func line(_ value: MetadataValue, width: Int = 48) -> String {
    switch value {
    // The count of a truncated string takes eighteen more characters.
    case .string(let text): quoted(text, width: text.count <= width ? width : width - 18)
    case .array(let array): list(array, width: width)
    default: scalar(value)
    }
  }

  /// Two different values, or a dash for a missing one. Arrays and long strings are shown from their first difference.
  static func lines(
    _ first: MetadataValue?, _ second: MetadataValue?, width: Int
  ) -> (first: String, second: String) {
    switch (first, second) {
    case (.array(let a)?, .array(let b)?) where elementName(a) == elementName(b):
      let (x, y) = (elements(a), elements(b))
      let index = zip(x, y).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(x.count, y.count)
      guard index < max(x.count, y.count) else { break }
      func text(_ array: MetadataArray, _ elements: [String]) -> String {
        let count = x.count == y.count ? "" : "[\(Figures.grouped(elements.count)) \(elementName(array))]"
        guard index < elements.count else { return count }
        let shown = if case .string = array { quoted(elements[index], width: 12) } else { elements[index] }
        return (count.isEmpty ? "" : count + " ") + "at \(Figures.grouped(index)): \(shown)"
      }
      return (text(a, x), text(b, y))
    case (.string(let a)?, .string(let b)?) where min(a.count, b.count) > width:
      let offset = zip(a, b).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(a.count, b.count)
      guard offset > width / 2 else { break }
      func text(_ string: String) -> String {
        let shown = String(string.dropFirst(offset).prefix(width / 2))
        return "at \(Figures.grouped(offset)): \(quoted(shown, width: width))"
      }
      return (text(a), text(b))
    default: break
    }
    func text(_ value: MetadataValue?) -> String { value.map { line($0, width: width) } ?? "-" }
    return (text(first), text(second))
  }

  /// The whole value: strings unquoted, arrays with one element per line.
  static func whole(_ value: MetadataValue) -> String {
    switch value {
    case .string(let text): text
    case .array(let array): elements(array).joined(separator: "\n")
    default: scalar(value)
    }
  }

  static func typeName(_ value: MetadataValue) -> String {
    switch value {
    case .uint8: "u8"
    case .int8: "i8"
    case .uint16: "u16"
    case .int16: "i16"
    case .uint32: "u32"
    case .int32: "i32"
    case .uint64: "u64"
    case .int64: "i64"
    case .float32: "f32"
    case .float64: "f64"
    case .bool: "bool"
    case .string: "string"
    case .array(let array): "[\(elementName(array))]"
    }
  }

  static func elementName(_ array: MetadataArray) -> String {
    switch array {
    case .uint8: "u8"
    case .int8: "i8"
    case .uint16: "u16"
    case .int16: "i16"
    case .uint32: "u32"
    case .int32: "i32"
    case .uint64: "u64"
    case .int64: "i64"
    case .float32: "f32"
    case .float64: "f64"
    case .bool: "bool"
    case .string: "string"
    case .array: "array"
    }
  }

  private static func scalar(_ value: MetadataValue) -> String {
    switch value {
    case .uint8(let x): "\(x)"
    case .int8(let x): "\(x)"
    case .uint16(let x): "\(x)"
    case .int16(let x): "\(x)"
    case .uint32(let x): "\(x)"
    case .int32(let x): "\(x)"
    case .uint64(let x): "\(x)"
    case .int64(let x): "\(x)"
    case .float32(let x): "\(x)"
    case .float64(let x): "\(x)"
    case .bool(let x): "\(x)"
    case .string(let x): x
    case .array: ""
    }
  }

  /// The text in quotes, with control characters escaped, truncated to `width`.
  private static func quoted(_ text: String, width: Int) -> String {
    var result = "\""
    for (count, scalar) in text.unicodeScalars.enumerated() {
      if count >= width { return result + "…\" (\(Figures.grouped(text.count)) characters)" }
      result += scalar.escaped(asASCII: false)
    }
    return result + "\""
  }

  private static func list(_ array: MetadataArray, width: Int) -> String {
    let all = count(array)
    var text = "[\(Figures.grouped(all)) \(elementName(array))]"
    var isFirst = true
    for element in elements(array, limit: 16) {
      let shown = if case .string = array { quoted(element, width: 12) } else { element }
      guard text.count + shown.count + 3 < width else { return text + ", …" }
      text += (isFirst ? " " : ", ") + shown
      isFirst = false
    }
    return all > 16 ? text + ", …" : text
  }

  static func count(_ array: MetadataArray) -> Int {
    switch array {
    case .uint8(let x): x.count
    case .int8(let x): x.count
    case .uint16(let x): x.count
    case .int16(let x): x.count
    case .uint32(let x): x.count
    case .int32(let x): x.count
    case .uint64(let x): x.count
    case .int64(let x): x.count
    case .float32(let x): x.count
    case .float64(let x): x.count
    case .bool(let x): x.count
    case .string(let x): x.count
    case .array(let x): x.count
    }
  }

  static func elements(_ array: MetadataArray, limit: Int = .max) -> [String] {
    switch array {
    case .uint8(let x): x.prefix(limit).map { "\($0)" }
    case .int8(let x): x.prefix(limit).map { "\($0)" }
    case .uint16(let x): x.prefix(limit).map { "\($0)" }
    case .int16(let x): x.prefix(limit).map { "\($0)" }
    case .uint32(let x): x.prefix(limit).map { "\($0)" }
    case .int32(let x): x.prefix(limit).map { "\($0)" }
    case .uint64(let x): x.prefix(limit).map { "\($0)" }
    case .int64(let x): x.prefix(limit).map { "\($0)" }
    case .float32(let x): x.prefix(limit).map { "\($0)" }
    case .float64(let x): x.prefix(limit).map { "\($0)" }
    case .bool(let x): x.prefix(limit).map { "\($0)" }
    case .string(let x): Array(x.prefix(limit))
    case .array(let x): x.prefix(limit).map { "[\(count($0)) \(elementName($0))]" }
    }
  }
}
