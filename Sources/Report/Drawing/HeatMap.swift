/// A grid of coloured cells: rows by name, columns by number.
struct HeatMap {
  struct Cell {
    /// 0 for the lightest of nine shades, 8 for the darkest.
    let shade: Int
    let title: String
  }

  let rows: [String]
  let columns: Int
  let columnTitle: String
  /// By row and column; nil where there is nothing.
  let cells: [[Cell?]]

  func drawn(width: Double, label: String) -> String {
    let left = min(width * 0.34, 12 + 6.4 * Double(rows.map(\.count).max() ?? 0))
    let cell = (width - left - 4) / Double(max(1, columns))
    let rowHeight = 17.0
    var svg = SVG(width: width, height: Double(rows.count) * rowHeight + 34)
    for (row, name) in rows.enumerated() {
      let y = Double(row) * rowHeight
      let most = Int((left - 10) / 6.1)
      let shown = name.count > most ? name.prefix(max(1, most - 1)) + "…" : name[...]
      svg.text(String(shown), left - 6, y + 12, "tick", anchor: .end)
      for column in 0..<columns {
        guard let content = cells[row][column] else { continue }
        let gap = cell > 5 ? 1.0 : 0
        svg.rectangle(
          left + Double(column) * cell, y + 1, width: min(cell - gap, 46), height: rowHeight - 2,
          "shade\(content.shade)", radius: cell > 5 ? 2 : 0, title: content.title)
      }
    }
    let bottom = Double(rows.count) * rowHeight + 14
    let pitch = min(cell, columns > 0 ? max(cell, 0) : 0)
    let step = [1, 2, 5, 10, 20, 50, 100].first { Double($0) * pitch > 26 } ?? 100
    for column in stride(from: 0, to: columns, by: step) {
      svg.text(
        String(column), left + Double(column) * cell + min(cell - 1, 46) / 2, bottom, "tick", anchor: .middle)
    }
    svg.text(columnTitle, left, bottom + 16, "tick")
    return svg.markup(label: label)
  }
}
