import Files
import GGUF

/// Hyperparameters common to Qwen 3.5 and Qwen 3 Next: layers with a gated delta net ("Gated Delta Networks",
/// arXiv 2412.06464), and every few layers one with gated attention.
struct DeltaNetConfig: Sendable {
  let decoder: DecoderConfig
  let config: Config
  /// Whether each layer has a delta net.
  let isRecurrent: [Bool]
  private let interval: Int
  let convolution: Int
  /// Elements of a head, of keys as of values.
  let stateSize: Int
  let keyHeads: Int
  let valueHeads: Int
  /// Elements of a head that are rotated.
  let rotated: Int
  /// Blocks for multi-token prediction. They have attention.
  let predictionBlocks: Int

  /// Values of missing keys, which differ between the configuration classes.
  struct Defaults: Sendable {
    let keyHeads: Int
    var hasDenseLayers = true
  }

  init(_ config: Config, _ defaults: Defaults) throws {
    self.config = config
    var decoder = try DecoderConfig(
      config, headSize: try config.int("head_dim", default: 256), keyHeads: defaults.keyHeads,
      hasDenseLayers: defaults.hasDenseLayers)
    decoder.normTransform = .plusOne
    self.decoder = decoder
    convolution = try config.int("linear_conv_kernel_dim", default: 4)
    stateSize = try config.int("linear_key_head_dim", default: 128)
    keyHeads = try config.int("linear_num_key_heads", default: 16)
    valueHeads = try config.int("linear_num_value_heads", default: 32)
    guard valueHeads % keyHeads == 0 else {
      throw FormatError(
        path: config.path, subject: "key linear_num_value_heads",
        "is \(valueHeads), not a multiple of \(keyHeads) key heads")
    }
    interval = try config.int("full_attention_interval", default: 4)
    isRecurrent = try Self.kinds(config, layers: decoder.layers, interval: interval)
    rotated = try decoder.rope.rotated(of: decoder.headSize, in: config, default: 0.25)
    predictionBlocks = config.prediction.count(declared: try config.count("mtp_num_hidden_layers", default: 0))
  }

  /// Which layers have a delta net: `layer_types`, or all except every `interval`-th.
  private static func kinds(_ config: Config, layers: Int, interval: Int) throws -> [Bool] {
    guard let kinds = config["layer_types"]?.array else { return (1...layers).map { $0 % interval != 0 } }
    guard kinds.count == layers else {
      throw FormatError(
        path: config.path, subject: "key layer_types", "has \(kinds.count) elements, but num_hidden_layers is \(layers)"
      )
    }
    return kinds.map { $0.string == "linear_attention" }
  }

  var keyWidth: Int { keyHeads * stateSize }
  var valueWidth: Int { valueHeads * stateSize }

  /// The GGUF keys of all architectures with delta nets.
  func keys(_ name: String) throws -> Metadata {
    var metadata = try decoder.keys(name, epsilon: 1e-6)
    metadata["\(name).attention.head_count_kv"] = .uint32(UInt32(decoder.keyHeads))
    metadata.merge(decoder.headKeys(name)) { $1 }
    func set(_ key: String, _ value: Int) { metadata["\(name).\(key)"] = .uint32(UInt32(value)) }
    let blocks = decoder.layers + predictionBlocks
    set("block_count", blocks)
    if predictionBlocks > 0 { set("nextn_predict_layers", predictionBlocks) }
    set("ssm.conv_kernel", convolution)
    set("ssm.state_size", stateSize)
    set("ssm.group_count", keyHeads)
    set("ssm.time_step_rank", valueHeads)
    set("ssm.inner_size", valueWidth)
    metadata["\(name).attention.recurrent_layers"] = .array(
      .bool((0..<blocks).map { $0 < isRecurrent.count && isRecurrent[$0] }))
    set("full_attention_interval", interval)
    set("rope.dimension_count", rotated)
    return metadata
  }

  /// True for the tensors of blocks for multi-token prediction that are left out.
  func leavesOut(_ name: String) -> Bool { predictionBlocks == 0 && name.hasPrefix("mtp.") }
}
