import Files
import Foundation
import GGUF
import Tensors

/// A model of which only config.json exists: its keys, and its tensors' names and shapes. Serves to plan before a
/// download.
///
/// Matrices have the type that config.json declares. Reading rows throws.
public struct ModelShapes: ModelSource {
  public let name: String
  /// The model's keys without the tokenizer's.
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  /// Bytes of the weights as the checkpoint stores them. Matrices of layers, except routers, are FP8 where config.json
  /// declares it; shapes alone do not tell of other exceptions.
  public let storedBytes: Int
  /// The findings on config.json's keys.
  public let configReview: ConfigReview
  /// Blocks for multi-token prediction that config.json declares and ``tensors`` has. Weights may not have them.
  public let predictionBlocks: Int
  private let indices: [String: Int]
  /// Values that follow from config.json, such as rope factors.
  private let computed: [String: [Float]]
  private let config: Config
  private let architecture: any CheckpointArchitecture.Type
  private let hyperparameters: Metadata

  /// - Parameters:
  ///   - path: a config.json, or a directory with one (``ModelLocation``).
  ///   - ignoring: keys to treat as missing although their values would be refused.
  ///   - carriesPrediction: whether blocks for multi-token prediction are a part of the model.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, `FormatError`
  public init(path: String, ignoring: [String] = [], carriesPrediction: Bool = true) throws {
    let location = try ModelLocation(path)
    let config =
      location.weights == nil
      ? try Config.read(in: location.directory)
      : location.weights == MistralForm.parameters ? try Config.mistral(path: path) : try Config(path: path)
    try self.init(config, name: location.name, ignoring, carriesPrediction)
  }

  /// Whether a directory has a file that declares a model's shape.
  package static func isDeclared(in directory: String) -> Bool {
    let listing = DirectoryListing(path: directory)
    return listing.names.contains("config.json") || MistralForm.isRead(listing, chosen: nil)
  }

  /// The shapes of a directory whose weights have another form. Optional tensors exist if they are stored.
  ///
  /// - Parameter isStored: whether the directory has a tensor of a name of the `transformers` package.
  package init(path: String, ignoring: [String] = [], isStored: @escaping (String) -> Bool) throws {
    let location = try ModelLocation(path)
    let config = try Config(path: location.directory + "/config.json")
    try self.init(config, name: location.name, ignoring, isStored: isStored)
  }

  /// - Parameters:
  ///   - configuration: the text of a config.json.
  ///   - name: the model's name, also used in errors.
  ///   - ignoring: keys to treat as missing although their values would be refused.
  ///   - carriesPrediction: whether blocks for multi-token prediction are a part of the model.
  public init(
    configuration: String, name: String, ignoring: [String] = [], carriesPrediction: Bool = true
  ) throws {
    try self.init(try Config(text: configuration, path: name), name: name, ignoring, carriesPrediction)
  }

  private init(
    _ given: Config, name: String, _ ignoring: [String], _ carriesPrediction: Bool = true,
    isStored: ((String) -> Bool)? = nil
  ) throws {
    self.name = name
    var (architecture, given) = try Architectures.resolved(given)
    if !carriesPrediction { given.prediction = .dropped }
    let (config, review) = try given.reviewed(architecture, ignoring: ignoring)
    configReview = review
    let model = try architecture.init(config: config)
    var collector = TensorCollector(
      path: config.path, keepsTiedHead: isStored?("lm_head.weight") ?? false, isStored: isStored)
    try model.collectTensors(&collector)
    var computed: [String: [Float]] = [:]
    for tensor in collector.tensors { if case .computed(let values) = tensor.parts { computed[tensor.name] = values } }
    self.computed = computed
    let type = config.publishedType
    let quantization = try QuantizationConfig(config)
    if isStored == nil { try quantization.refuseUnreadable(configPath: config.path) }
    predictionBlocks = config.prediction == .declared ? model.predictionBlocks : 0
    tensors = collector.tensors.map {
      TensorInfo(
        name: $0.name, shape: $0.shape,
        type: $0.isExact ? .f32 : $0.declaredType ?? quantization.blockType(of: $0) ?? type)
    }
    let block = quantization.method?.hasSuffix("fp8") == true ? quantization.block : nil
    storedBytes = tensors.reduce(0) { sum, tensor in
      let plain = tensor.shape.bytes(as: tensor.type) ?? 0
      guard let block, tensor.isQuantizable, TensorName(tensor.name).layer != nil, !tensor.type.isQuantized,
        !tensor.name.contains("ffn_gate_inp")
      else { return sum + plain }
      return sum + tensor.shape.count + 4 * tensor.shape.count / (block.rows * block.columns)
    }
    self.config = config
    self.architecture = architecture
    hyperparameters = try model.hyperparameters()
    metadata = try modelMetadata(architecture.ggufName, name: name, tensors, hyperparameters, config: config)
    indices = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
  }

  /// The keys of the model with those of its tokenizer, its model card and its generation_config.json.
  ///
  /// - Throws: `FormatError` if there is no tokenizer, or one of an unknown kind.
  package func metadata(from directory: String) throws -> Metadata {
    let name = architecture.ggufName
    var metadata = try modelMetadata(
      name, name: self.name, tensors, hyperparameters, config: config, directory: directory,
      card: try ModelCard(directory: directory))
    let tokenizer = try CheckpointTokenizer(directory: directory, config: config, architecture: name, pre: nil)
    metadata.merge(tokenizer.metadata) { $1 }
    if architecture.carriesSuppressedTokens { metadata.merge(try suppressedTokens(directory)) { $1 } }
    return metadata.asStored
  }

  public func tensor(named name: String) -> TensorInfo? { indices[name].map { tensors[$0] } }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    guard let values = computed[tensor.name] else { throw withoutWeights(tensor) }
    output.withUnsafeMutableBytes { output in values.withUnsafeBytes { output.copyMemory(from: $0) } }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let values = computed[tensor.name] else { throw withoutWeights(tensor) }
    for index in values.indices { output[index] = values[index] }
  }

  private func withoutWeights(_ tensor: TensorInfo) -> FormatError {
    FormatError(
      .missing, path: name, subject: "tensor \(tensor.name)", "has no weights: only config.json was read",
      hint: "download the model")
  }
}
