/// Horizontal bars with a name and a text each. A bar with an interval is drawn as a dot with a whisker.
struct Bars {
  struct Bar {
    let name: String
    let value: Double
    var interval: ClosedRange<Double>?
    let text: String
    var style = "bar"
  }

  let bars: [Bar]

  func drawn(width: Double, label: String) -> String {
    let rowHeight = 26.0
    let left = min(width * 0.36, 14 + (bars.map { SVG.width(of: $0.name) }.max() ?? 0))
    let right = 12 + (bars.map { SVG.width(of: $0.text) }.max() ?? 0)
    var svg = SVG(width: width, height: Double(bars.count) * rowHeight + 4)
    let maximum = bars.map { max($0.value, $0.interval?.upperBound ?? 0) }.max() ?? 1
    func coordinate(_ value: Double) -> Double {
      left + max(0, value) / max(maximum, 1e-30) * (width - left - right)
    }
    for (row, bar) in bars.enumerated() {
      let y = Double(row) * rowHeight + 4
      svg.text(SVG.shortened(bar.name, width: left - 10), left - 8, y + 13, "tick", anchor: .end)
      if let interval = bar.interval {
        svg.line(left, y + 9, width - right, y + 9, "grid")
        svg.line(
          coordinate(interval.lowerBound), y + 9, coordinate(interval.upperBound), y + 9, bar.style + " whisker")
        svg.circle(coordinate(bar.value), y + 9, radius: 4.5, bar.style, title: "\(bar.name): \(bar.text)")
      } else {
        svg.rectangle(
          left, y + 1, width: max(1.5, coordinate(bar.value) - left), height: 16, bar.style, radius: 3,
          title: "\(bar.name): \(bar.text)")
      }
      svg.text(bar.text, coordinate(max(bar.value, bar.interval?.upperBound ?? 0)) + 8, y + 13, "label")
    }
    return svg.markup(label: label)
  }
}
