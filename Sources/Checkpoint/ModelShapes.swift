import Files
import Foundation
import GGUF
import Tensors

/// A model of which only config.json is there: its keys, and the names and shapes of its tensors. What a plan needs
/// before the download.
///
/// Matrices are in the type that config.json says they are published in. Rows can't be read.
public struct ModelShapes: ModelSource {
  public let name: String
  /// Without the tokenizer's keys.
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  public let configReview: ConfigReview
  private let places: [String: Int]

  /// - Parameters:
  ///   - path: a config.json, or the directory that holds one (``ModelLocation``).
  ///   - ignoring: keys that would be refused, and are to count as missing.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, `FormatError`
  public init(path: String, ignoring: [String] = []) throws {
    let location = try ModelLocation(path)
    let config = try Config(path: location.weights == nil ? location.directory + "/config.json" : path)
    try self.init(config, name: location.name, ignoring)
  }

  /// - Parameters:
  ///   - configuration: what a config.json holds.
  ///   - ignoring: keys that would be refused, and are to count as missing.
  public init(configuration: String, name: String, ignoring: [String] = []) throws {
    try self.init(try Config(text: configuration, path: name), name: name, ignoring)
  }

  private init(_ whole: Config, name: String, _ ignoring: [String]) throws {
    self.name = name
    let architecture = try Architectures.named(try whole.architecture, path: whole.path)
    let (config, review) = try whole.reviewed(architecture, ignoring: ignoring)
    configReview = review
    let model = try architecture.init(config: config)
    var collector = TensorCollector(path: config.path)
    try model.collectTensors(&collector)
    let type = config.publishedType
    tensors = collector.tensors.map { TensorInfo(name: $0.name, shape: $0.shape, type: $0.isExact ? .f32 : type) }
    metadata = try modelMetadata(
      architecture.ggufName, name: name, tensors, try model.hyperparameters(), config: config)
    places = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
  }

  public func tensor(named name: String) -> TensorInfo? { places[name].map { tensors[$0] } }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    throw withoutWeights(tensor)
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    throw withoutWeights(tensor)
  }

  private func withoutWeights(_ tensor: TensorInfo) -> FormatError {
    FormatError(
      .missing, path: name, subject: "tensor \(tensor.name)", "has no weights: only config.json was read",
      hint: "download the model")
  }
}
