import Foundation
import GGUF
import Mustache
import Tensors

/// A page that shows what was made of a model and what that costs: HTML that needs nothing but a browser.
public struct ReportPage: Sendable {
  /// A GGUF that the page is about.
  public struct File: Sendable {
    public let name: String
    public let bytes: Int
    public let tensors: [TensorInfo]
    public let metadata: Metadata
    /// The mix as rules, in YAML; nil to leave it out.
    public let recipe: String?

    public init(name: String, bytes: Int, tensors: [TensorInfo], metadata: Metadata, recipe: String?) {
      self.name = name
      self.bytes = bytes
      self.tensors = tensors
      self.metadata = metadata
      self.recipe = recipe
    }
  }

  public var title: String
  public var files: [File]
  public var drifts: [DriftFindings]
  public var sensitivity: SensitivityFindings?
  /// The program that made the page.
  public var generator: String

  public init(
    title: String, files: [File], drifts: [DriftFindings], sensitivity: SensitivityFindings?, generator: String
  ) {
    self.title = title
    self.files = files
    self.drifts = drifts
    self.sensitivity = sensitivity
    self.generator = generator
  }

  /// The page; the same inputs give the same bytes.
  public func html() throws -> String {
    let template = try MustacheTemplate(string: pageTemplate)
    return template.render(context)
  }

  /// Charts are drawn twice, for wide and for narrow screens: a drawing that is merely scaled down can't be read.
  static let widths = (wide: 760.0, narrow: 340.0)

  private func chart(_ draw: (Double) -> String) -> [String: Any] {
    ["wide": draw(Self.widths.wide), "narrow": draw(Self.widths.narrow)]
  }

  private var context: [String: Any] {
    var context: [String: Any] = ["title": title, "style": pageStyle, "generator": generator]
    if let subtitle { context["subtitle"] = subtitle }
    context["summary"] = summary
    if let comparison { context["comparison"] = comparison }
    context["kinds"] = kinds
    context["files"] = files.map(fileContext)
    if let layers = sensitivityByLayer { context["sensitivity"] = layers }
    return context
  }

  private func isSubject(_ model: DriftFindings.Model) -> Bool {
    files.isEmpty || files.contains { $0.name == model.name }
  }

  private func drift(of file: File) -> DriftFindings.Model? {
    drifts.lazy.flatMap(\.models).first { $0.name == file.name && $0.bytes == file.bytes }
      ?? drifts.lazy.flatMap(\.models).first { $0.name == file.name }
  }
}

// MARK: - Sections

extension ReportPage {
  /// What the first file is made of.
  private var subtitle: String? {
    guard let file = files.first else { return nil }
    let layers = TensorGrid(file.tensors).layers
    var parts: [String] = []
    for key in ["general.name", "general.architecture"] {
      if case .string(let text) = file.metadata[key], !text.isEmpty, text.count < 100 { parts.append(text) }
    }
    if layers > 0 { parts.append("\(layers) layers") }
    parts.append("\(grouped(file.tensors.count)) tensors")
    return parts.joined(separator: " · ")
  }

  /// The first file's figures, large.
  private var summary: [[String: Any]] {
    guard let file = files.first else {
      return drifts.prefix(1).map { drift in
        ["value": drift.base.name, "label": "what others are compared with"]
      }
    }
    let weights = file.tensors.reduce(0) { $0 + $1.shape.count }
    let bytes = file.tensors.reduce(0) { $0 + $1.bytes }
    var tiles: [[String: Any]] = [
      ["value": SizeUnit.text(bytes: file.bytes), "label": grouped(file.bytes) + " bytes"],
      [
        "value": plain(Double(bytes) * 8 / Double(max(1, weights))),
        "label": "bits per weight, of \(spoken(weights)) weights",
      ],
    ]
    if let found = drift(of: file)?.statistics {
      tiles.append([
        "value": plain(found.divergence.value),
        "label": "mean KLD, ± \(plain(found.divergence.error, significant: 2)) nats",
      ])
      tiles.append(["value": plain(found.sameTop.value * 100) + " %", "label": "same most likely token"])
    }
    return tiles
  }

  private var comparison: [String: Any]? {
    let models = drifts.flatMap(\.models)
    guard !models.isEmpty else { return nil }
    let points = models.map { model in
      ScatterPlot.Point(
        name: model.name, gigabytes: Double(model.bytes) * 1e-9, divergence: model.statistics.divergence.value,
        interval: model.interval.low...max(model.interval.low, model.interval.high), isSubject: isSubject(model))
    }.filter { $0.divergence > 0 }
    let front = Set(ScatterPlot.front(points).map(\.name))
    let rows = models.sorted { ($0.bytes, $0.name) < ($1.bytes, $1.name) }.map { model -> [String: Any] in
      let statistics = model.statistics
      let worst = statistics.divergenceQuantiles.min { abs($0.fraction - 0.999) < abs($1.fraction - 0.999) }
      return [
        "name": model.name, "strong": isSubject(model) && !files.isEmpty, "size": SizeUnit.text(bytes: model.bytes),
        "bits": String(format: "%.2f", model.bitsPerWeight), "kld": plain(statistics.divergence.value),
        "error": plain(statistics.divergence.error, significant: 2), "worst": worst.map { plain($0.value) } ?? "",
        "top": plain(statistics.sameTop.value * 100) + " %", "perplexity": plain(statistics.perplexity.value),
        "front": front.contains(model.name),
      ]
    }
    var result: [String: Any] = [
      "rows": rows, "base": Set(drifts.map(\.base.name)).sorted().joined(separator: ", "),
      "text": Set(drifts.flatMap { $0.texts.map(\.name) }).sorted().joined(separator: ", "),
      "context": Set(drifts.map(\.context)).sorted().map(String.init).joined(separator: ", "),
      "positions": grouped(models.map(\.statistics.positions).max() ?? 0),
      "basePerplexity": models.first.map { plain($0.statistics.basePerplexity.value) } ?? "",
    ]
    if points.count > 1 {
      var plot = chart { ScatterPlot(points: points).drawn(width: $0) }
      plot["hasOthers"] = points.contains { !$0.isSubject }
      result["plot"] = plot
    }
    return result
  }

  /// A chart of kinds of text for each of the page's files, or for every model where it has none.
  private var kinds: [[String: Any]] {
    drifts.flatMap(\.models).filter { isSubject($0) && $0.kinds.count > 1 }.map { model in
      let bars = model.kinds.map { kind in
        Bars.Bar(
          name: kind.kind, value: kind.statistics.divergence.value,
          interval: kind.interval.low...max(kind.interval.low, kind.interval.high),
          text: plain(kind.statistics.divergence.value), style: "subject")
      }
      return ["name": model.name, "chart": chart { Bars(bars: bars).drawn(width: $0, label: "KLD by kind of text") }]
    }
  }

  private func fileContext(_ file: File) -> [String: Any] {
    var context: [String: Any] = [
      "name": file.name, "provenance": provenance(of: file), "bytesByPart": parts(of: file),
      "types": types(of: file), "run": running(file),
    ]
    if let recipe = file.recipe { context["recipe"] = ["yaml": recipe] }
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
          "type": entry.type.name, "shade": shade(bitsPerWeight: bits(of: entry.type)), "count": entry.count,
          "size": SizeUnit.text(bytes: entry.bytes), "bits": plain(bits(of: entry.type)),
        ]
      }
  }

  private func bits(of type: GGMLType) -> Double { Double(type.blockBytes * 8) / Double(type.blockLength) }

  private var sensitivityByLayer: [String: Any]? {
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
    // Nine shades of equal ratio, from the tenth percentile on.
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
