import GGUF

/// Qwen3_5ForConditionalGeneration and ForCausalLM: Qwen 3.5 to 3.8 without experts.
struct Qwen35Checkpoint: CheckpointArchitecture {
  static let names = ["Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM"]
  static let ggufName = "qwen35"
  static let isNested = true
  static let keys = KeyTable.dense.adding(DeltaNetConfig.keys)

  private let model: DeltaNetConfig

  init(config: Config) throws { model = try DeltaNetConfig(config, DeltaNetConfig.Defaults(keyHeads: 4)) }

  var predictionBlocks: Int { model.predictionBlocks }
  func leavesOut(_ name: String) -> Bool { model.leavesOut(name) }
  func hyperparameters() throws -> Metadata { try model.qwen35Keys(Self.ggufName) }

  func collectTensors(_ all: inout TensorCollector) throws {
    try model.collectQwen35Tensors(&all) { block, all in try model.denseFeedForward(block, &all) }
  }
}

extension DeltaNetConfig {
  /// The GGUF keys of Qwen 3.5. Readers need the axes of positions.
  func qwen35Keys(_ name: String) throws -> Metadata {
    var metadata = try keys(name)
    if let sections = try config.imageAxes(absent: [11, 11, 10, 0], pairs: rotated / 2) {
      metadata["\(name).rope.dimension_sections"] = .array(.int32(sections))
    }
    return metadata
  }

  /// Adds all tensors. Value heads are stored in groups that share a key head; in a GGUF, value head i uses key head
  /// i mod `keyHeads`.
  func collectQwen35Tensors(
    _ all: inout TensorCollector, feedForward: (Block, inout TensorCollector) throws -> Void
  ) throws {
    let group = valueHeads / keyHeads
    let order = group == 1 ? nil : (0..<valueHeads).map { $0 % keyHeads * group + $0 / keyHeads }
    try collectTensors(
      &all, valueHeads: order,
      projections: { block, all in
        let (to, from, width) = (block.name, block.stored + "linear_attn.", decoder.width)
        func add(_ name: String, _ source: String, rows: Int, _ ranges: [Range<Int>]?) throws {
          let source = from + source + ".weight"
          let shape = [rows, width]
          try all.part(
            to + name + ".weight", [width, rows],
            ranges.map { .rows(source, shape: shape, order: $0) } ?? .whole(source, shape: shape))
        }
        try add(
          "attn_qkv", "in_proj_qkv", rows: 2 * keyWidth + valueWidth,
          order.map { [0..<2 * keyWidth] + valueRows($0) })
        try add(
          "attn_gate", "in_proj_z", rows: valueWidth, order?.map { $0 * stateSize..<($0 + 1) * stateSize })
        try add("ssm_alpha", "in_proj_a", rows: valueHeads, order?.map { $0..<$0 + 1 })
        try add("ssm_beta", "in_proj_b", rows: valueHeads, order?.map { $0..<$0 + 1 })
      }, feedForward: feedForward)
  }
}
