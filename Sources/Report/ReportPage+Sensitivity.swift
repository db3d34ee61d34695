extension ReportPage {
  /// The heat map of the sensitivity table; nil without one.
  var sensitivityByLayer: [String: Any]? {
    guard let sensitivity else { return nil }
    var byClass: [(name: String, values: [Int: Double])] = []
    for entry in sensitivity.entries {
      guard let (layer, name) = TensorGrid.cell(of: entry.tensor) else { continue }
      let index = byClass.firstIndex { $0.name == name } ?? byClass.count
      if index == byClass.count { byClass.append((name, [:])) }
      byClass[index].values[layer] = entry.coefficient
    }
    let all = byClass.flatMap(\.values.values).filter { $0 > 0 }.sorted()
    guard let maximum = all.last, let layers = byClass.flatMap(\.values.keys).max() else { return nil }
    // The shades begin at the tenth percentile.
    let minimum = max(all[all.count / 10], maximum * 1e-4)
    let map = HeatMap(
      rows: byClass.map(\.name), columns: layers + 1, columnTitle: "layer",
      cells: byClass.map { row in
        (0...layers).map { layer in
          row.values[layer].map { value in
            HeatMap.Cell(
              shade: logarithmicShade(value, minimum...max(maximum, minimum)), label: plain(value),
              title: "blk.\(layer).\(row.name): \(plain(value)) nats per unit of relative error")
          }
        }
      })
    return [
      "chart": chart { map.drawn(width: $0, label: "Sensitivity") }, "model": sensitivity.model,
      "minimum": plain(minimum), "maximum": plain(maximum), "ramp": Array(0...8),
    ]
  }
}
