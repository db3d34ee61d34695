extension ReportPage {
  var sensitivityByLayer: [String: Any]? {
    guard let sensitivity else { return nil }
    var byClass: [(name: String, values: [Int: Double])] = []
    for entry in sensitivity.entries {
      guard let (layer, name) = TensorGrid.place(of: entry.tensor) else { continue }
      let place = byClass.firstIndex { $0.name == name } ?? byClass.count
      if place == byClass.count { byClass.append((name, [:])) }
      byClass[place].values[layer] = entry.coefficient
    }
    let all = byClass.flatMap(\.values.values).filter { $0 > 0 }.sorted()
    guard let most = all.last, let layers = byClass.flatMap(\.values.keys).max() else { return nil }
    // Nine shades of equal ratio, starting at the tenth percentile.
    let least = max(all[all.count / 10], most * 1e-4)
    let map = HeatMap(
      rows: byClass.map(\.name), columns: layers + 1, columnTitle: "layer",
      cells: byClass.map { row in
        (0...layers).map { layer in
          row.values[layer].map { value in
            HeatMap.Cell(
              shade: logarithmicShade(value, least...max(most, least)), label: plain(value),
              title: "blk.\(layer).\(row.name): \(plain(value)) nats per unit of relative error")
          }
        }
      })
    return [
      "chart": chart { map.drawn(width: $0, label: "Sensitivity") }, "model": sensitivity.model, "least": plain(least),
      "most": plain(most), "ramp": Array(0...8),
    ]
  }
}
