import GGUF
import Mustache
import Perplexity
import Tensors

/// A self-contained HTML page about quantized files and their drift.
public struct ReportPage: Sendable {
  /// A GGUF file that the page describes.
  public struct File: Sendable {
    public let name: String
    public let bytes: Int
    public let tensors: [TensorInfo]
    public let metadata: Metadata
    /// The mix as rules in YAML; nil to omit it.
    public let recipe: String?

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
    /// Joins the shards of a model, of which `shard` is one, to a file.
    public let merge: @Sendable (_ shard: String, _ output: String) -> String
    /// Writes a model in the types of a recipe.
    public let quantize: @Sendable (_ recipe: String) -> String

    public init(
      merge: @escaping @Sendable (_ shard: String, _ output: String) -> String,
      quantize: @escaping @Sendable (_ recipe: String) -> String
    ) {
      self.merge = merge
      self.quantize = quantize
    }
  }

  public var title: String
  public var files: [File]
  public var drifts: [DriftReport]
  public var sensitivity: SensitivityFindings?
  /// Name and version of the program that made the page.
  public var generator: String
  public var commands: Commands?

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

  /// Charts are drawn twice, for wide and for narrow screens: a drawing that is only scaled down is unreadable.
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
}
