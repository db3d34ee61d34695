import GGUF

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// An architecture: builds a ``Decoder`` from a model's metadata and tensor names. Each has its own file.
struct DecoderArchitecture: Sendable {
  /// The value of `general.architecture`.
  let name: String
  /// Keys that other architectures must not have, or only with values that change nothing.
  var honoured: Set<String> = []
  /// The ends of the names of tensors of factors that it applies.
  var factors: [String] = []
  let decoder: @Sendable (ModelReader) throws -> Decoder

  /// The registry.
  static let supported: [DecoderArchitecture] = [
    .llama, .qwen2, .qwen3, .qwen3moe, .deepseek2, .gemma3, .gemma4, .gptOss, .qwen35, .qwen35moe, .qwen3next,
    .qwen3vl, .qwen3vlmoe, .glm4moe, .mistral3, .mistral4, .minimaxM2, .smollm3, .seedOSS, .olmo2, .granite, .phi3,
    .ernie45, .ernie45moe, .hyV3, .museGlimmer, .glmDSA, .deepseek32,
  ]
}

extension Decoder {
  /// The values of `general.architecture` that have a forward pass.
  package static let architectures = DecoderArchitecture.supported.map(\.name)

  /// Reads a model's structure from its metadata and tensor list.
  ///
  /// - Throws: ``ForwardError`` where the architecture is not supported, or a key or tensor is missing or wrong.
  public init(_ source: any ModelSource) throws {
    let model = try ModelReader(source)
    let supported = DecoderArchitecture.supported
    guard let architecture = supported.first(where: { $0.name == model.architecture }) else {
      throw ForwardError.unknownArchitecture(model.architecture, supported: supported.map(\.name).sorted())
    }
    try model.refuseUnsupportedValues(except: architecture.honoured)
    // Files with weights in NVFP4 have a factor of each matrix.
    let factor = source.tensors.first { tensor in
      tensor.name.hasSuffix(".scale") && !architecture.factors.contains { tensor.name.hasSuffix($0) }
    }
    if let factor { throw ForwardError.unsupportedFactor(tensor: factor.name) }
    self = try architecture.decoder(model)
  }
}

/// The parts of a decoder that all architectures share: embedding, output, epsilon, rotation.
struct DecoderBase {
  let width: Int
  let layers: Int
  let vocabulary: Int
  let embedding: TensorInfo

  init(_ model: ModelReader) throws(ForwardError) {
    width = try model.int("embedding_length", in: 1...1 << 20)
    let count = try model.int("block_count", in: 1...1 << 16)
    layers = count - (try model.optionalInt("nextn_predict_layers", in: 0...count - 1) ?? 0)
    guard let embedding = model.source.tensor(named: "token_embd.weight") else {
      throw .missingTensor("token_embd.weight")
    }
    guard embedding.shape.dimensions.count == 2, embedding.shape.columns == width, embedding.shape.rows > 0 else {
      throw .wrongShape(
        tensor: embedding.name, found: "\(embedding.shape)", expected: "[\(width), size of the vocabulary]")
    }
    guard !embedding.type.isInteger else { throw .integers(tensor: embedding.name, type: embedding.type) }
    self.embedding = embedding
    vocabulary = embedding.shape.rows
  }

  /// A decoder whose layers all have one rotation and see all positions.
  func decoder(
    _ model: ModelReader, rope: Rope, layer: (Int) throws -> DecoderLayer
  ) throws -> Decoder {
    let window = try model.slidingWindow
    let factors = try model.optional("rope_freqs.weight", [rope.dimensions / 2])
    return try decoder(
      model, rotations: [LayerRotation(rope: rope, factors: factors)],
      textLimit: window.map { TextLimit(key: model.key("attention.sliding_window"), positions: $0) }, layer: layer)
  }

  /// - Parameters:
  ///   - rotations: those that the layers name.
  ///   - textLimit: the length of texts up to which results are exact; nil where the layers apply their windows.
  ///   - embeddingScale: the factor of the embedded tokens.
  ///   - normalizesEmbedding: whether they are normalised.
  ///   - logitScale: the factor of logits.
  ///   - layerInputs: the inputs of every layer that are embedded from tokens.
  func decoder(
    _ model: ModelReader, rotations: [LayerRotation], textLimit: TextLimit? = nil, embeddingScale: Float = 1,
    normalizesEmbedding: Bool = false, logitScale: Float = 1, layerInputs: LayerInputs? = nil,
    layer: (Int) throws -> DecoderLayer
  ) throws -> Decoder {
    Decoder(
      architecture: model.architecture, width: width, vocabularyCount: vocabulary,
      contextLength: try model.optionalInt("context_length") ?? 0,
      textLimit: textLimit, epsilon: Float(try model.double("attention.layer_norm_rms_epsilon")),
      rotations: rotations, embedding: embedding, embeddingScale: embeddingScale,
      normalizesEmbedding: normalizesEmbedding, layerInputs: layerInputs, logitScale: logitScale,
      logitCap: try model.optionalDouble("final_logit_softcapping").flatMap { $0 == 0 ? nil : Float($0) },
      outputNorm: try model.tensor("output_norm.weight", [width]),
      output: try model.optional("output.weight", [width, vocabulary]) ?? embedding,
      layers: try (0..<layers).map(layer))
  }
}

extension ModelReader {
  /// The number of positions of a sliding window; nil without one.
  var slidingWindow: Int? {
    get throws(ForwardError) { try optionalInt("attention.sliding_window").flatMap { $0 == 0 ? nil : $0 } }
  }
}

extension Rope {
  /// Reads base, dimensions and scaling.
  ///
  /// - Parameter dimensions: the length of a head, and the default of the rotated dimensions.
  init(_ model: ModelReader, style: Style, dimensions: Int) throws(ForwardError) {
    let rotated = try model.optionalInt("rope.dimension_count", in: 2...1 << 16) ?? dimensions
    guard rotated <= dimensions, rotated % 2 == 0 else {
      throw .invalidKey(
        model.key("rope.dimension_count"), reason: "is \(rotated), but heads have \(dimensions) elements")
    }
    self.init(style: style, dimensions: rotated, base: try model.optionalDouble("rope.freq_base") ?? 10000)
    magnitude = try model.optionalDouble("rope.scaling.attn_factor") ?? 1
    let kind = try model.optionalString("rope.scaling.type") ?? "linear"
    guard ["none", "linear", "yarn"].contains(kind) else {
      throw .unsupportedValue(
        key: model.key("rope.scaling.type"), value: "'\(kind)'", reason: "which is not none, linear or yarn")
    }
    guard kind != "none" else { return }
    // 0 means the default. Files from 2023 have the second name.
    let factors = try ["rope.scaling.factor", "rope.scale_linear"].map { (key) throws(ForwardError) in
      (key: key, value: try model.optionalDouble(key) ?? 0)
    }
    guard let factor = factors.first(where: { $0.value != 0 }) else { return }
    guard factor.value > 0 else { throw .invalidKey(model.key(factor.key), reason: "is \(factor.value)") }
    self.factor = factor.value
    guard kind == "yarn" else { return }
    let original = "rope.scaling.original_context_length"
    let hasOriginal = model.has(original)
    yarn = Yarn(originalContext: try model.int(hasOriginal ? original : "context_length"))
    magnitude *= growth
    let given = try model.optionalDouble("rope.scaling.yarn_attn_factor") ?? 1
    guard [1, growth].contains(where: { abs(given - $0) < 1e-4 }) else {
      throw .unsupportedValue(
        key: model.key("rope.scaling.yarn_attn_factor"), value: "\(given)", reason: "but runtimes use \(growth)")
    }
  }

  /// YaRN's factor of queries and keys.
  var growth: Double { factor > 1 ? 1 + 0.1 * log(factor) : 1 }
}
