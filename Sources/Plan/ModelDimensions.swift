import GGUF
import Tensors

/// The hyperparameters that memory and speed depend on.
public struct ModelDimensions: Sendable, Equatable {
  /// The value of `general.architecture`.
  public let architecture: String
  /// The number of layers.
  public let layers: Int
  let width: Int
  let heads: Int
  /// Key/value heads per layer; 0 for a layer without attention.
  let keyHeads: [Int]
  let keyLength: Int
  let valueLength: Int
  /// The sizes of a key and of a value head in layers with a sliding window; nil where those of all layers are equal.
  let slidingLengths: [Int]?
  /// Whether each layer has a sliding window; empty if the metadata does not say.
  let isSliding: [Bool]
  /// The tokens of a sliding window; 0 without layers that have one.
  let window: Int
  /// The tokens of a sliding window of which the metadata does not say which layers have it; 0 without.
  public let unattributedWindow: Int
  /// Bytes of the states of all delta nets.
  let stateBytes: Int
  /// Multi-head latent attention: sizes of a token's compressed row, and of a head's expanded keys and values.
  public let latent: Latent?
  let feedForward: Int
  let vocabulary: Int
  /// The number of experts per layer; 0 for a dense model.
  public let experts: Int
  /// The number of experts that a token uses.
  public let expertsUsed: Int
  let expertFeedForward: Int
  /// Trained context length in tokens; nil if the metadata does not state it.
  public let trainedContext: Int?
  /// Position scaling beyond the original context, such as `yarn by 40 over 4096`; nil without scaling.
  public let ropeScaling: String?

  /// The dimensions of latent attention.
  public struct Latent: Sendable, Equatable {
    /// Elements of the compressed row, kv_lora_rank + qk_rope_head_dim: 512 + 64 for R1.
    let compressed: Int
    /// Elements of one head's key: 192 for R1.
    let key: Int
    /// Elements of one head's value: 128 for R1.
    let value: Int
    /// Whether the GGUF has the old form (`attn_kv_b`), which caches all heads expanded.
    public let isExpanded: Bool
  }

  /// Reads a model's metadata.
  ///
  /// - Throws: ``PlanError`` that names the missing or wrong key and the keys that a plan reads.
  package init(of model: any ModelSource) throws(PlanError) {
    let metadata = model.metadata
    let keys = try PlanKeys(model)
    architecture = keys.hyperparameters.architecture
    layers = try keys.required("block_count", maximum: 10_000)
    width = try keys.required("embedding_length")
    let headCounts = try keys.requiredList("attention.head_count")
    heads = headCounts.max() ?? 0
    guard heads > 0, heads <= 1 << 16 else { throw keys.failure("attention.head_count", "is \(heads)") }
    let counts = try keys.list("attention.head_count_kv") ?? headCounts
    guard counts.count == 1 || counts.count == layers else {
      throw keys.failure("attention.head_count_kv", "has \(counts.count) entries for \(layers) layers")
    }
    guard counts.allSatisfy({ $0 <= 1 << 16 }) else { throw keys.failure("attention.head_count_kv", "is \(counts)") }
    // The last layers may use the keys of earlier ones, or predict further tokens, for which there is another cache.
    let predicting = min(layers - 1, try keys.optional("nextn_predict_layers") ?? 0)
    let keyless = predicting + min(layers - predicting, try keys.optional("attention.shared_kv_layers") ?? 0)
    let isRecurrent = try keys.recurrentLayers(architecture, count: layers - predicting)
    let withKeys = layers - keyless
    keyHeads = (counts.count == layers ? counts : Array(repeating: counts[0], count: layers)).enumerated().map {
      $0 >= withKeys || isRecurrent.indices.contains($0) && isRecurrent[$0] ? 0 : $1
    }
    stateBytes = isRecurrent.contains(true) ? isRecurrent.count { $0 } * (try keys.stateBytes) : 0
    keyLength = try keys.optional("attention.key_length") ?? width / heads
    valueLength = try keys.optional("attention.value_length") ?? width / heads
    // A window of `llama` limits the length of texts, and the cache keeps all positions.
    let slidingWindow = architecture == "llama" ? 0 : try keys.optional("attention.sliding_window") ?? 0
    isSliding = try keys.slidingLayers(architecture, count: layers)
    (window, unattributedWindow) = isSliding.isEmpty ? (0, slidingWindow) : (slidingWindow, 0)
    if let key = try keys.optional("attention.key_length_swa") {
      slidingLengths = [key, try keys.optional("attention.value_length_swa") ?? key]
    } else {
      slidingLengths = nil
    }
    feedForward = try keys.list("feed_forward_length")?.max() ?? 0
    vocabulary =
      try keys.optional("vocab_size", maximum: 1 << 31) ?? metadata.optionalStrings("tokenizer.ggml.tokens")?.count
      ?? min(model.tensor(named: "token_embd.weight")?.shape.rows ?? 0, 1 << 31)
    experts = try keys.optional("expert_count", maximum: 1 << 16) ?? 0
    expertsUsed = try keys.optional("expert_used_count") ?? 0
    if experts > 0, !(1...experts).contains(expertsUsed) {
      throw keys.failure("expert_used_count", "is \(expertsUsed) of \(experts) experts")
    }
    expertFeedForward = try keys.optional("expert_feed_forward_length") ?? feedForward
    trainedContext = try keys.optional("context_length", maximum: 1 << 31)
    ropeScaling = Self.ropeScaling(model, keys)
    if let rank = try keys.optional("attention.kv_lora_rank"), rank > 0 {
      let rotated = try keys.required("rope.dimension_count")
      let key = try keys.optional("attention.key_length_mla")
      let value = try keys.optional("attention.value_length_mla")
      latent = Latent(
        compressed: rank + rotated, key: key ?? keyLength, value: value ?? valueLength, isExpanded: key == nil)
    } else {
      latent = nil
    }
    // Checked for both forms, so that it can be multiplied by any context; R1's old form has 2.5 million.
    let cached = [false, true].map { expanded in
      let cache = KeyValueCache(self, expanded: expanded)
      return cache.rows.reduce(0, +) + cache.windowRows.reduce(0, +)
    }
    guard cached.allSatisfy({ $0 <= 1 << 28 }) else {
      throw keys.failure("attention.head_count_kv", "makes a token's cache \(cached.max() ?? 0) elements")
    }
  }

  /// The sizes of a key and of a value head in a layer.
  func lengths(layer: Int) -> [Int] {
    if let slidingLengths, isSliding.indices.contains(layer), isSliding[layer] { return slidingLengths }
    return [keyLength, valueLength]
  }

  private static func ropeScaling(_ model: any ModelSource, _ keys: PlanKeys) -> String? {
    let metadata = model.metadata
    guard let type = metadata.optionalString(keys.hyperparameters.key("rope.scaling.type")), type != "none" else {
      return model.tensor(named: "rope_freqs.weight") == nil ? nil : "llama3 factors in rope_freqs.weight"
    }
    var text = type
    if let factor = metadata.optionalFloat(keys.hyperparameters.key("rope.scaling.factor")) {
      text += " by " + (Int(exactly: factor).map(String.init) ?? "\(factor)")
    }
    if let original = metadata.optionalInt(keys.hyperparameters.key("rope.scaling.original_context_length")) {
      text += " over \(original) tokens"
    }
    return text
  }
}

/// Hyperparameters, with errors that name the model and what a plan reads.
private struct PlanKeys {
  /// Maximum elements of a row or head, far beyond any model: products with heads, layers and bytes cannot overflow.
  static let maximumWidth = 1 << 24

  let model: any ModelSource
  let hyperparameters: Hyperparameters

  init(_ model: any ModelSource) throws(PlanError) {
    self.model = model
    do { hyperparameters = try Hyperparameters(model.metadata) } catch {
      throw PlanError(.data, "\(model.name): \(error)")
    }
  }

  func failure(_ name: String, _ reason: String) -> PlanError {
    failure(MetadataError(key: hyperparameters.key(name), reason))
  }

  private func failure(_ error: MetadataError) -> PlanError {
    let architecture = hyperparameters.architecture
    return PlanError(
      .data, "\(model.name): \(error)",
      hint: "a plan reads \(architecture).block_count, .embedding_length, .attention.head_count, "
        + ".attention.head_count_kv, .attention.key_length and .attention.value_length")
  }

  func optional(_ name: String, maximum: Int = maximumWidth) throws(PlanError) -> Int? {
    do { return try hyperparameters.optionalInt(name, in: 0...maximum) } catch { throw failure(error) }
  }

  /// The bools of an array with one for each layer; empty if there is none.
  func flags(_ name: String, count: Int) throws(PlanError) -> [Bool] {
    guard case .array? = model.metadata[hyperparameters.key(name)] else { return [] }
    do { return try hyperparameters.optionalBools(name, count: count) ?? [] } catch { throw failure(error) }
  }

  /// Whether each layer has a sliding window: by a list, or all but the last of every few; empty if the metadata does
  /// not say.
  func slidingLayers(_ architecture: String, count: Int) throws(PlanError) -> [Bool] {
    let name = "attention.sliding_window_pattern"
    if case .array? = model.metadata[hyperparameters.key(name)] { return try flags(name, count: count) }
    let periods = ["gemma3": 6, "gemma4": 6, "gpt-oss": 2]
    guard let period = periods[architecture] else { return [] }
    let given = try optional(name) ?? period
    return (0..<count).map { given == 0 || $0 % given < given - 1 }
  }

  /// Whether each of the first `count` layers has a delta net instead of attention: by a list, or all but the last of
  /// every few; empty for an architecture without.
  func recurrentLayers(_ architecture: String, count: Int) throws(PlanError) -> [Bool] {
    guard ["qwen35", "qwen35moe", "qwen3next"].contains(architecture) else { return [] }
    let flags = try flags("attention.recurrent_layers", count: count)
    guard flags.isEmpty else { return flags }
    let interval = max(1, try optional("full_attention_interval") ?? 4)
    return (1...count).map { $0 % interval != 0 }
  }

  /// Bytes of a delta net's state: a matrix for each value head, and the tokens that its convolution still covers.
  var stateBytes: Int {
    get throws(PlanError) {
      let inner = try required("ssm.inner_size")
      let size = try required("ssm.state_size", maximum: 1 << 12)
      let groups = try required("ssm.group_count", maximum: 1 << 16)
      let taps = try required("ssm.conv_kernel", maximum: 64)
      return 4 * (size * inner + (taps - 1) * (inner + 2 * groups * size))
    }
  }

  func required(_ name: String, maximum: Int = maximumWidth) throws(PlanError) -> Int {
    do { return try hyperparameters.int(name, in: 1...maximum) } catch { throw failure(error) }
  }

  /// One number for all layers, or one per layer.
  func list(_ name: String) throws(PlanError) -> [Int]? {
    do { return try hyperparameters.optionalInts(name, in: 0...Self.maximumWidth) } catch { throw failure(error) }
  }

  func requiredList(_ name: String) throws(PlanError) -> [Int] {
    guard let values = try list(name) else { throw failure(name, "is missing") }
    return values
  }
}
