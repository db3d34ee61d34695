import Tensors

extension ReportPage {
  func fileContext(_ file: File) -> [String: Any] {
    var context: [String: Any] = [
      "name": file.name, "provenance": provenance(of: file), "bytesByPart": parts(of: file),
      "types": types(of: file), "run": running(file),
    ]
    if let yaml = file.recipe {
      var recipe = ["yaml": yaml]
      recipe["command"] = commands?.quantize("mix.yaml")
      context["recipe"] = recipe
    }
    let grid = TensorGrid(file.tensors)
    if grid.layers > 0 { context["grid"] = chart { heatMap(grid).drawn(width: $0, label: "Bits per weight") } }
    context["others"] = grid.others.map { ["name": $0.name, "type": $0.type.name] }
    return context
  }

  private func heatMap(_ grid: TensorGrid) -> HeatMap {
    HeatMap(
      rows: grid.classes, columns: grid.layers, columnTitle: "layer",
      cells: grid.tensors.map { row in
        row.map { tensor in
          tensor.map {
            HeatMap.Cell(
              shade: shade(bitsPerWeight: $0.bitsPerWeight), label: $0.type.name,
              title: "\($0.name): \($0.type.name), \(plain($0.bitsPerWeight)) bits, \(SizeUnit.text(bytes: $0.bytes))")
          }
        }
      })
  }

  private func parts(of file: File) -> [String: Any] {
    let total = max(1, file.tensors.reduce(0) { $0 + $1.bytes })
    let bytes = Dictionary(grouping: file.tensors) { TensorGrid.part(of: $0.name) }
      .mapValues { $0.reduce(0) { $0 + $1.bytes } }
    let bars = bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { part, bytes in
      Bars.Bar(
        name: part, value: Double(bytes),
        text: "\(SizeUnit.text(bytes: bytes)), \(plain((Double(bytes) / Double(total) * 1000).rounded() / 10)) %")
    }
    return chart { Bars(bars: bars).drawn(width: $0, label: "Where the bytes go") }
  }

  private func types(of file: File) -> [[String: Any]] {
    Dictionary(grouping: file.tensors, by: \.type)
      .map { type, tensors in (type: type, count: tensors.count, bytes: tensors.reduce(0) { $0 + $1.bytes }) }
      .sorted { ($1.bytes, $0.type.name) < ($0.bytes, $1.type.name) }
      .map { entry in
        [
          "type": entry.type.name, "shade": shade(bitsPerWeight: entry.type.bitsPerWeight), "count": entry.count,
          "size": SizeUnit.text(bytes: entry.bytes), "bits": plain(entry.type.bitsPerWeight),
        ]
      }
  }
}
