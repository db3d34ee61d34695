/// An SVG drawing. Its colours are in the page's style sheet, for light and dark mode.
struct SVG {
  let width: Double
  var height: Double
  private var elements: [String] = []

  enum Anchor: String { case start, middle, end }

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
    elements.append(
      "<line class=\"\(style)\" x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\"/>")
  }

  /// - Parameter title: the text that a pointer over the rectangle shows.
  mutating func rectangle(
    _ x: Double, _ y: Double, width: Double, height: Double, _ style: String, radius: Double = 0, title: String? = nil
  ) {
    elements.append(
      "<rect class=\"\(style)\" x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(max(0, width)))\" "
        + "height=\"\(number(max(0, height)))\"" + (radius > 0 ? " rx=\"\(number(radius))\"" : "")
        + closing("rect", title))
  }

  mutating func circle(_ x: Double, _ y: Double, radius: Double, _ style: String, title: String? = nil) {
    elements.append(
      "<circle class=\"\(style)\" cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"\(number(radius))\""
        + closing("circle", title))
  }

  mutating func path(_ points: [(x: Double, y: Double)], _ style: String) {
    guard let first = points.first else { return }
    let lines = points.dropFirst().map { "L\(number($0.x)) \(number($0.y))" }.joined()
    elements.append("<path class=\"\(style)\" d=\"M\(number(first.x)) \(number(first.y))\(lines)\"/>")
  }

  mutating func text(_ text: String, _ x: Double, _ y: Double, _ style: String = "label", anchor: Anchor = .start) {
    let anchored = anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\""
    elements.append("<text class=\"\(style)\" x=\"\(number(x))\" y=\"\(number(y))\"\(anchored)>\(escaped(text))</text>")
  }

  /// The SVG element. A screen reader announces it as `label`.
  func markup(label: String) -> String {
    "<svg viewBox=\"0 0 \(number(width)) \(number(height))\" role=\"img\" aria-label=\"\(escaped(label))\">"
      + elements.joined() + "</svg>"
  }

  /// The approximate width of a text in the page's font of 11 pixels, rather too wide than too narrow.
  static func width(of text: String) -> Double {
    text.reduce(0) { sum, letter in
      let width =
        switch letter {
        case "i", "j", "l", "I", ".", ",", ":", "'", "|", " ", "-", "f", "t", "r", "(", ")": 4.2
        case "m", "w", "M", "W", "%", "@": 10.2
        case "A"..."Z", "0"..."9", "_": 7.2
        default: letter.isASCII ? 6.7 : 11
        }
      return sum + width
    }
  }

  /// The text, or as much of its beginning as fits into `width`.
  static func shortened(_ text: String, width: Double) -> String {
    guard Self.width(of: text) > width else { return text }
    var result = text
    while result.count > 1, Self.width(of: result) + 9 > width { result.removeLast() }
    return result + "…"
  }

  private func closing(_ element: String, _ title: String?) -> String {
    title.map { "><title>\(escaped($0))</title></\(element)>" } ?? "/>"
  }
}

/// A number of pixels, rounded to tenths to keep the page small.
private func number(_ value: Double) -> String {
  let tenths = (value * 10).rounded() / 10
  return tenths == tenths.rounded() ? String(Int(tenths)) : String(tenths)
}

func escaped(_ text: String) -> String {
  text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    .replacing("\"", with: "&quot;")
}
