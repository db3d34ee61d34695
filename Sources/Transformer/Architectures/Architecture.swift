import GGUF

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Turns a model's metadata and tensor names into a ``Decoder``. One file per architecture; this is their registry.
struct Architecture: Sendable {
  /// What `general.architecture` says.
  let name: String
  let decoder: @Sendable (ModelFacts) throws -> Decoder

  static let known: [Architecture] = [.llama, .qwen2, .qwen3, .qwen3moe, .deepseek2]
}

extension Decoder {
  /// The names that `general.architecture` may have.
  public static var knownArchitectures: [String] { Architecture.known.map(\.name).sorted() }

  /// Reads a model's structure. No weights are read.
  ///
  /// - Throws: ``ForwardError``
  public init(_ source: any ModelSource) throws {
    let facts = try ModelFacts(source)
    guard let architecture = Architecture.known.first(where: { $0.name == facts.architecture }) else {
      throw ForwardError.unknownArchitecture(facts.architecture, known: Self.knownArchitectures)
    }
    try facts.refuseUnsupportedValues()
    self = try architecture.decoder(facts)
  }
}

/// What all these architectures share: embedding, output, epsilon, rotation.
struct Frame {
  let width: Int
  let layers: Int
  let vocabulary: Int
  let embedding: TensorInfo

  init(_ facts: ModelFacts) throws(ForwardError) {
    width = try facts.int("embedding_length", in: 1...1 << 20)
    let blocks = try facts.int("block_count", in: 1...1 << 16)
    layers = blocks - (try facts.optionalInt("nextn_predict_layers", in: 0...blocks - 1) ?? 0)
    guard let embedding = facts.source.tensor(named: "token_embd.weight") else {
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

  func decoder(
    _ facts: ModelFacts, rope: Rope, layer: (Int) throws -> DecoderLayer
  ) throws -> Decoder {
    Decoder(
      architecture: facts.architecture, width: width, vocabularyCount: vocabulary,
      contextLength: try facts.optionalInt("context_length") ?? 0,
      slidingWindow: try facts.optionalInt("attention.sliding_window").flatMap { $0 == 0 ? nil : $0 },
      epsilon: Float(try facts.double("attention.layer_norm_rms_epsilon")), rope: rope,
      ropeFactors: try facts.optional("rope_freqs.weight", [rope.dimensions / 2]), embedding: embedding,
      outputNorm: try facts.tensor("output_norm.weight", [width]),
      output: try facts.optional("output.weight", [width, vocabulary]) ?? embedding,
      layers: try (0..<layers).map(layer))
  }
}

extension Rope {
  /// Reads base, dimensions and scaling; `dimensions` is what applies where the model does not say.
  init(_ facts: ModelFacts, style: Style, dimensions: Int) throws(ForwardError) {
    let turning = try facts.optionalInt("rope.dimension_count", in: 2...1 << 16) ?? dimensions
    guard turning <= dimensions, turning % 2 == 0 else {
      throw .invalidKey(
        facts.key("rope.dimension_count"), reason: "is \(turning), but heads have \(dimensions) elements")
    }
    self.init(style: style, dimensions: turning, base: try facts.optionalDouble("rope.freq_base") ?? 10000)
    magnitude = try facts.optionalDouble("rope.scaling.attn_factor") ?? 1
    let kind = try facts.optionalString("rope.scaling.type") ?? "linear"
    guard ["none", "linear", "yarn"].contains(kind) else {
      throw .unsupportedValue(
        key: facts.key("rope.scaling.type"), value: "'\(kind)'", reason: "which is not none, linear or yarn")
    }
    guard kind != "none" else { return }
    // 0 means the default. The second name is that of files from 2023.
    let factors = try ["rope.scaling.factor", "rope.scale_linear"].map { (key) throws(ForwardError) in
      (key: key, value: try facts.optionalDouble(key) ?? 0)
    }
    guard let factor = factors.first(where: { $0.value != 0 }) else { return }
    guard factor.value > 0 else { throw .invalidKey(facts.key(factor.key), reason: "is \(factor.value)") }
    self.factor = factor.value
    guard kind == "yarn" else { return }
    let original = "rope.scaling.original_context_length"
    let hasOriginal = facts.has(original)
    yarn = Yarn(originalContext: try facts.int(hasOriginal ? original : "context_length"))
    magnitude *= growth
    let given = try facts.optionalDouble("rope.scaling.yarn_attn_factor") ?? 1
    guard [1, growth].contains(where: { abs(given - $0) < 1e-4 }) else {
      throw .unsupportedValue(
        key: facts.key("rope.scaling.yarn_attn_factor"), value: "\(given)", reason: "which readers take for \(growth)")
    }
  }

  /// The factor by which YaRN multiplies queries and keys.
  var growth: Double { factor > 1 ? 1 + 0.1 * log(factor) : 1 }
}
