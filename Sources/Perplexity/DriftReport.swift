import Foundation
import GGUF

/// A model as reports show it.
public struct ModelSize: Sendable, Equatable {
  /// The model's name.
  public let name: String
  /// Bytes of the file or its shards; of a directory, of all tensors as stored.
  public let bytes: Int
  /// Bits of all tensors per weight.
  public let bitsPerWeight: Double

  /// The size of a model.
  public init(_ model: any ModelSource) {
    let tensors = model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let weights = model.tensors.reduce(0) { $0 + $1.shape.count }
    self.init(
      name: model.name, bytes: (model as? GGUFFile)?.bytes ?? tensors,
      bitsPerWeight: Double(tensors) * 8 / Double(max(1, weights)))
  }

  /// A size that is known.
  public init(name: String, bytes: Int, bitsPerWeight: Double) {
    self.name = name
    self.bytes = bytes
    self.bitsPerWeight = bitsPerWeight
  }
}

/// The results of a comparison of models with one reference. Its JSON is the output of `drift` for programs.
public struct DriftReport: Sendable, Equatable, Codable {
  /// The reference of a comparison.
  public struct Base: Sendable, Equatable, Codable {
    /// The form of the reference.
    public enum Form: String, Sendable, Codable {
      case model
      case compact = "compact reference"
      case logits = "logits file"
    }

    /// The reference's name.
    public let name: String
    public let form: Form
    public let bytes: Int
    /// nil unless the reference is a model.
    public let bitsPerWeight: Double?
    /// nil unless the reference is compact.
    public let provenance: Provenance?

    /// A model that runs itself.
    public init(_ model: ModelSize) {
      (name, form, bytes, bitsPerWeight, provenance) = (model.name, .model, model.bytes, model.bitsPerWeight, nil)
    }

    /// A stored reference of a model.
    public init(name: String, form: Form, bytes: Int, provenance: Provenance? = nil) {
      (self.name, self.form, self.bytes, bitsPerWeight, self.provenance) = (name, form, bytes, nil, provenance)
    }
  }

  /// A text that models were compared on.
  public struct Text: Sendable, Equatable, Codable {
    public let name: String
    /// The kind of text, such as code or chat.
    public let kind: String
    public let windows: Int
  }

  public let base: Base
  public let texts: [Text]
  /// The tokens of a window.
  public let context: Int
  /// The number of scored positions of a window.
  public let positionsPerWindow: Int
  /// The number of windows that were compared.
  public let windows: Int
  /// The number of windows of the text, which is larger if the comparison stopped early.
  public let windowsAvailable: Int
  /// Every candidate, in the order given.
  public let models: [ModelDrift]
  /// Each pair of models, in the order given.
  public let comparisons: [DriftComparison]

  /// The report of drifts from one reference over the same windows.
  ///
  /// - Parameter available: the number of windows of the text; nil for that of `windows`.
  public init(
    base: Base, windows: ScoringWindows, drifts: [(model: ModelSize, drift: Drift)], available: Int? = nil
  ) {
    self.base = base
    texts = windows.names.map { name in
      let rows = windows.rows(ofText: name).reduce(0) { $0 + $1.count }
      return Text(
        name: name, kind: windows.parts.first { $0.name == name }?.kind ?? "", windows: rows / windows.scored.count)
    }
    context = windows.context
    positionsPerWindow = windows.scored.count
    self.windows = windows.windows.count
    windowsAvailable = available ?? windows.windows.count
    models = drifts.map { ModelDrift($0.model, drift: $0.drift, windows: windows) }
    comparisons = drifts.indices.flatMap { one in
      drifts.indices.dropFirst(one + 1).map { other in
        DriftComparison(
          (drifts[one].model.name, drifts[one].drift), (drifts[other].model.name, drifts[other].drift),
          windows: windows)
      }
    }
  }

  /// A report in JSON with keys in snake case.
  ///
  /// - Throws: `DecodingError` if the data is not such a report.
  public init(json: Data) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    self = try decoder.decode(DriftReport.self, from: json)
  }

  /// The width of the widest interval in nats: of the differences, or of the mean divergence of a single model. A run
  /// may stop early when it is narrow enough.
  public var widestInterval: Double {
    (comparisons.isEmpty ? models.map(\.interval.width) : comparisons.map(\.interval.width)).max() ?? 0
  }
}
