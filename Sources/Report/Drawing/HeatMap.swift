/// A grid of coloured cells, with named rows and numbered columns.
struct HeatMap {
  struct Cell {
    /// 0 for the lightest of nine shades, 8 for the darkest.
    let shade: Int
    /// The text in the cell, if all cells are wide enough for their labels.
    let label: String
    /// The text that a pointer over the cell shows.
    let title: String
  }

  let rows: [String]
  let columns: Int
  let columnTitle: String
  /// By row and column; nil for an empty cell.
  let cells: [[Cell?]]

  private static let rowHeight = 20.0
  /// The maximum width of a cell: few layers make a small drawing.
  private static let cellMaximum = 52.0

  func drawn(width: Double, label: String) -> String {
    let left = min(width * 0.36, 12 + (rows.map { SVG.width(of: $0) }.max() ?? 0))
    let pitch = min(Self.cellMaximum, (width - left - 4) / Double(max(1, columns)))
    let gap = pitch > 5 ? min(2, pitch * 0.1) : 0
    // Labels have a font of 10 pixels.
    let hasLabels = cells.joined().allSatisfy { $0.map { SVG.width(of: $0.label) / 1.1 < pitch - gap - 4 } ?? true }
    var svg = SVG(width: width, height: Double(rows.count) * Self.rowHeight + 22)
    for (row, name) in rows.enumerated() {
      let y = Double(row) * Self.rowHeight
      svg.text(SVG.shortened(name, width: left - 10), left - 7, y + 14, "tick", anchor: .end)
      for column in 0..<columns {
        guard let cell = cells[row][column] else { continue }
        let x = left + Double(column) * pitch
        svg.rectangle(
          x, y + 1, width: pitch - gap, height: Self.rowHeight - 2, "shade\(cell.shade)", radius: pitch > 5 ? 3 : 0,
          title: cell.title)
        if hasLabels {
          svg.text(
            cell.label, x + (pitch - gap) / 2, y + 14, cell.shade < 5 ? "inside" : "inside deep", anchor: .middle)
        }
      }
    }
    let bottom = Double(rows.count) * Self.rowHeight + 14
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].first { Double($0) * pitch > 26 } ?? 2000
    for column in stride(from: 0, to: columns, by: step) {
      svg.text(String(column), left + Double(column) * pitch + (pitch - gap) / 2, bottom, "tick", anchor: .middle)
    }
    svg.text(columnTitle, left - 7, bottom, "tick", anchor: .end)
    return svg.markup(label: label)
  }
}
