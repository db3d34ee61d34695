/// Size against divergence: a dot a file, and the line of those that nothing smaller beats.
struct ScatterPlot {
  struct Point {
    let name: String
    let gigabytes: Double
    let divergence: Double
    let interval: ClosedRange<Double>
    /// One of the files that the page is about; the others are what they are compared with.
    let isSubject: Bool
  }

  let points: [Point]

  /// The points that no point of the same size or less is better than, by size.
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
    let x = Axis(points.map(\.gigabytes), places: (left, width - right))
    let y = Axis(
      points.flatMap { [$0.divergence, max($0.interval.lowerBound, $0.divergence / 3), $0.interval.upperBound] },
      logarithmic: true, places: (height - bottom, top))
    let (unit, divisor) = SizeUnit.fitting(points.map(\.gigabytes).max() ?? 0)
    for tick in x.ticks(about: width < 500 ? 4 : 8) {
      svg.line(x.place(tick), top, x.place(tick), height - bottom, "grid")
      svg.text(plain(tick / divisor), x.place(tick), height - bottom + 16, "tick", anchor: .middle)
    }
    for tick in y.ticks(about: 6) {
      svg.line(left, y.place(tick), width - right, y.place(tick), "grid")
      svg.text(plain(tick), left - 6, y.place(tick) + 4, "tick", anchor: .end)
    }
    svg.text("file size, \(unit)", (left + width - right) / 2, height - 8, "tick", anchor: .middle)
    svg.text("mean KLD, nats (log)", 8, 12, "tick")

    let front = Self.front(points)
    svg.path(front.map { (x.place($0.gigabytes), y.place($0.divergence)) }, "front")
    for point in points.sorted(by: { !$0.isSubject && $1.isSubject }) {
      let (px, py) = (x.place(point.gigabytes), y.place(point.divergence))
      let style = point.isSubject ? "subject" : "other"
      svg.line(px, y.place(point.interval.lowerBound), px, y.place(point.interval.upperBound), style + " whisker")
      svg.circle(
        px, py, radius: point.isSubject ? 5.5 : 4, style,
        title: "\(point.name): \(plain(point.gigabytes / divisor)) \(unit), KLD \(plain(point.divergence))")
    }
    label(&svg, x, y, width: width)
    return svg.markup(label: "File size against mean KL divergence")
  }

  /// Names beside the dots, the page's own files first; one that would lie on another is left to the table.
  private func label(_ svg: inout SVG, _ x: Axis, _ y: Axis, width: Double) {
    var taken: [(x: ClosedRange<Double>, y: ClosedRange<Double>)] = points.map { point in
      let (px, py) = (x.place(point.gigabytes), y.place(point.divergence))
      return (px - 4...px + 4, py - 4...py + 4)
    }
    for point in points.sorted(by: { $0.isSubject && !$1.isSubject }) {
      let (px, py) = (x.place(point.gigabytes), y.place(point.divergence))
      let name = SVG.shortened(point.name.replacing(/\.gguf$/, with: ""), width: 190)
      let length = SVG.width(of: name)
      // To the right, to the left, above, below. What is drawn ends or begins at the dot, however wide the font is.
      let places: [(start: Double, y: Double, x: Double, anchor: SVG.Anchor)] = [
        (px + 9, py + 4, px + 9, .start), (px - 9 - length, py + 4, px - 9, .end),
        (px - length / 2, py - 9, px, .middle), (px - length / 2, py + 19, px, .middle),
      ]
      let free = places.first { place in
        guard place.start > 56, place.start + length < width - 2, place.y > 36 else { return false }
        return !taken.contains {
          $0.x.overlaps(place.start...place.start + length) && $0.y.overlaps(place.y - 10...place.y + 2)
        }
      }
      guard let free else { continue }
      taken.append((free.start...free.start + length, free.y - 10...free.y + 2))
      svg.text(name, free.x, free.y, point.isSubject ? "halo strong" : "halo", anchor: free.anchor)
    }
  }
}
