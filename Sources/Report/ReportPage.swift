import GGUF
import Mustache
import Perplexity
import Tensors

/// A self-contained HTML page about quantized files and their drift.
public struct ReportPage: Sendable {
  /// A GGUF file that the page describes.
  public struct File: Sendable {
    /// The file's name.
    public let name: String
    let bytes: Int
    let tensors: [TensorInfo]
    let metadata: Metadata
    let recipe: String?

    /// - Parameters:
    ///   - name: the file's name; it identifies the file in drift reports.
    ///   - bytes: the size of the file or of all shards.
    ///   - recipe: the mix as rules in YAML; nil to omit it.
    public init(name: String, bytes: Int, tensors: [TensorInfo], metadata: Metadata, recipe: String?) {
      self.name = name
      self.bytes = bytes
      self.tensors = tensors
      self.metadata = metadata
      self.recipe = recipe
    }
  }

  /// Commands of the program that made the page, for its readers.
  public struct Commands: Sendable {
    let merge: @Sendable (_ shard: String, _ output: String) -> String
    let quantize: @Sendable (_ recipe: String) -> String

    /// - Parameters:
    ///   - merge: the command that joins the shards of a model, of which `shard` is one, to a file.
    ///   - quantize: the command that writes a model with the types of a recipe.
    public init(
      merge: @escaping @Sendable (_ shard: String, _ output: String) -> String,
      quantize: @escaping @Sendable (_ recipe: String) -> String
    ) {
      self.merge = merge
      self.quantize = quantize
    }
  }

  let title: String
  let files: [File]
  let drifts: [DriftReport]
  let sensitivity: SensitivityFindings?
  let generator: String
  package var commands: Commands?

  /// - Parameters:
  ///   - files: the files that the page describes; empty for a page about drift reports alone.
  ///   - drifts: drift reports, of the files and of others for comparison.
  ///   - sensitivity: a sensitivity table; nil to omit its chart.
  ///   - generator: the name and version of the program, for the footer.
  ///   - commands: commands of the program; nil to omit them.
  public init(
    title: String, files: [File], drifts: [DriftReport], sensitivity: SensitivityFindings?, generator: String,
    commands: Commands? = nil
  ) {
    self.title = title
    self.files = files
    self.drifts = drifts
    self.sensitivity = sensitivity
    self.generator = generator
    self.commands = commands
  }

  /// The page as HTML. The same inputs give the same bytes.
  public func html() throws -> String {
    let template = try MustacheTemplate(string: pageTemplate)
    return template.render(context)
  }

  /// Widths of charts in pixels. Each chart is drawn for wide and for narrow screens.
  static let widths = (wide: 760.0, narrow: 340.0)

  func chart(_ draw: (Double) -> String) -> [String: Any] {
    ["wide": draw(Self.widths.wide), "narrow": draw(Self.widths.narrow)]
  }

  private var context: [String: Any] {
    var context: [String: Any] = ["title": title, "style": pageStyle, "generator": generator]
    if let subtitle { context["subtitle"] = subtitle }
    context["summary"] = summary
    context["comparisons"] = comparisons
    if !kinds.isEmpty { context["kinds"] = ["models": kinds] }
    context["files"] = files.map(fileContext)
    if let layers = sensitivityByLayer { context["sensitivity"] = layers }
    return context
  }

  func isSubject(_ model: ModelDrift) -> Bool {
    files.isEmpty || files.contains { $0.name == model.name }
  }

  func drift(of file: File) -> ModelDrift? {
    drifts.lazy.flatMap(\.models).first { $0.name == file.name && $0.bytes == file.bytes }
      ?? drifts.lazy.flatMap(\.models).first { $0.name == file.name }
  }
}

// MARK: - Summary

extension ReportPage {
  /// The composition of the first file.
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

  /// The headline figures of the first file.
  private var summary: [[String: Any]] {
    guard let file = files.first else {
      return drifts.prefix(1).map { drift in
        ["value": drift.base.name, "label": "reference model"]
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
    if let statistics = drift(of: file)?.statistics {
      tiles.append([
        "value": plain(statistics.divergence.value),
        "label": "mean KLD, ± \(plain(statistics.divergence.error, significant: 2)) nats",
      ])
      tiles.append(["value": plain(statistics.sameTop.value * 100) + " %", "label": "same most likely token"])
    }
    return tiles
  }
}
