/// File size against divergence: a dot for each file, and a line through the Pareto front.
struct ScatterPlot {
  struct Point {
    let name: String
    let gigabytes: Double
    let divergence: Double
    let interval: ClosedRange<Double>
    /// Whether the page describes the file; other files are for comparison.
    let isSubject: Bool
  }

  let points: [Point]

  /// The Pareto front, in ascending order of size: the points for which no point of the same or smaller size is better.
  static func front(_ points: [Point]) -> [Point] {
    var best = Double.infinity
    return points.sorted { ($0.gigabytes, $0.divergence) < ($1.gigabytes, $1.divergence) }.filter { point in
      defer { best = min(best, point.divergence) }
      return point.divergence < best
    }
  }

  func drawn(width: Double) -> String {
    let height = width < 500 ? width * 0.95 : width * 0.52
    var svg = SVG(width: width, height: height)
    let (left, right, top, bottom) = (54.0, 16.0, 26.0, 44.0)
    let x = Axis(points.map(\.gigabytes), coordinates: (left, width - right))
    let y = Axis(
      points.flatMap { [$0.divergence, max($0.interval.lowerBound, $0.divergence / 3), $0.interval.upperBound] },
      logarithmic: true, coordinates: (height - bottom, top))
    let (unit, divisor) = SizeUnit.fitting(points.map(\.gigabytes).max() ?? 0)
    for tick in x.ticks(about: width < 500 ? 4 : 8) {
      svg.line(x.coordinate(tick), top, x.coordinate(tick), height - bottom, "grid")
      svg.text(plain(tick / divisor), x.coordinate(tick), height - bottom + 16, "tick", anchor: .middle)
    }
    for tick in y.ticks(about: 6) {
      svg.line(left, y.coordinate(tick), width - right, y.coordinate(tick), "grid")
      svg.text(plain(tick), left - 6, y.coordinate(tick) + 4, "tick", anchor: .end)
    }
    svg.text("file size, \(unit)", (left + width - right) / 2, height - 8, "tick", anchor: .middle)
    svg.text("mean KLD, nats (log)", 8, 12, "tick")

    let front = Self.front(points)
    svg.path(front.map { (x.coordinate($0.gigabytes), y.coordinate($0.divergence)) }, "front")
    for point in points.sorted(by: { !$0.isSubject && $1.isSubject }) {
      let (px, py) = (x.coordinate(point.gigabytes), y.coordinate(point.divergence))
      let style = point.isSubject ? "subject" : "other"
      svg.line(
        px, y.coordinate(point.interval.lowerBound), px, y.coordinate(point.interval.upperBound), style + " whisker")
      svg.circle(
        px, py, radius: point.isSubject ? 5.5 : 4, style,
        title: "\(point.name): \(plain(point.gigabytes / divisor)) \(unit), KLD \(plain(point.divergence))")
    }
    label(&svg, x, y, width: width)
    return svg.markup(label: "File size against mean KL divergence")
  }

  /// Writes names beside the dots, first those of the page's files. A name that would overlap is omitted.
  private func label(_ svg: inout SVG, _ x: Axis, _ y: Axis, width: Double) {
    var taken: [(x: ClosedRange<Double>, y: ClosedRange<Double>)] = points.map { point in
      let (px, py) = (x.coordinate(point.gigabytes), y.coordinate(point.divergence))
      return (px - 4...px + 4, py - 4...py + 4)
    }
    for point in points.sorted(by: { $0.isSubject && !$1.isSubject }) {
      let (px, py) = (x.coordinate(point.gigabytes), y.coordinate(point.divergence))
      let name = SVG.shortened(point.name.replacing(/\.gguf$/, with: ""), width: 190)
      let length = SVG.width(of: name)
      // To the right, to the left, above, below. The text is anchored at the dot, independent of the font's width.
      let positions: [(start: Double, y: Double, x: Double, anchor: SVG.Anchor)] = [
        (px + 9, py + 4, px + 9, .start), (px - 9 - length, py + 4, px - 9, .end),
        (px - length / 2, py - 9, px, .middle), (px - length / 2, py + 19, px, .middle),
      ]
      let free = positions.first { position in
        guard position.start > 56, position.start + length < width - 2, position.y > 36 else { return false }
        return !taken.contains {
          $0.x.overlaps(position.start...position.start + length) && $0.y.overlaps(position.y - 10...position.y + 2)
        }
      }
      guard let free else { continue }
      taken.append((free.start...free.start + length, free.y - 10...free.y + 2))
      svg.text(name, free.x, free.y, point.isSubject ? "halo strong" : "halo", anchor: free.anchor)
    }
  }
}
