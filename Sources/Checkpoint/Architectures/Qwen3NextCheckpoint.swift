import GGUF

/// Qwen3NextForCausalLM: Qwen 3 Next and Qwen 3 Coder Next. Its projections are stored together, for one key head after
/// the other.
struct Qwen3NextCheckpoint: CheckpointArchitecture {
  static let names = ["Qwen3NextForCausalLM"]
  static let ggufName = "qwen3next"
  static let isNested = true
  static let keys = DeltaNetConfig.keys.adding(DeltaNetConfig.expertKeys)

  private let model: DeltaNetConfig
  private let experts: GatedExperts

  init(config: Config) throws {
    model = try DeltaNetConfig(config, DeltaNetConfig.Defaults(keyHeads: 2))
    experts = try GatedExperts(config, count: 512, used: 10)
  }

  var predictionBlocks: Int { model.predictionBlocks }
  func leavesOut(_ name: String) -> Bool { model.leavesOut(name) }

  func hyperparameters() throws -> Metadata {
    var metadata = try model.keys(Self.ggufName)
    if let sections = try model.config.imageAxes(absent: nil, pairs: model.rotated / 2) {
      metadata["\(Self.ggufName).rope.dimension_sections"] = .array(.int32(sections))
    }
    return metadata.merging(experts.keys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try model.collectTensors(
      &all, valueHeads: nil, projections: projections,
      feedForward: { block, all in try experts.collectTensors(block, model, &all) })
  }

  /// Adds the projections. The stored matrix has the rows of a key head's query, key, values and gates; a GGUF has
  /// queries, keys and values of all heads, and gates in a matrix of their own.
  private func projections(_ block: DeltaNetConfig.Block, _ all: inout TensorCollector) throws {
    let (to, from, width) = (block.name, block.stored + "linear_attn.", model.decoder.width)
    let source = from + "in_proj_qkvz.weight"
    let (key, values) = (model.stateSize, model.valueWidth / model.keyHeads)
    let rows = 2 * (key + values)
    let shape = [model.keyHeads * rows, width]
    func ranges(_ first: Int, _ count: Int) -> [Range<Int>] {
      (0..<model.keyHeads).map { $0 * rows + first..<$0 * rows + first + count }
    }
    try all.part(
      to + "attn_qkv.weight", [width, 2 * model.keyWidth + model.valueWidth],
      .rows(source, shape: shape, order: ranges(0, key) + ranges(key, key) + ranges(2 * key, values)))
    try all.part(
      to + "attn_gate.weight", [width, model.valueWidth],
      .rows(source, shape: shape, order: ranges(2 * key + values, values)))
    try all.matrix(
      to + "ssm_ba.weight", from: from + "in_proj_ba.weight", outputs: 2 * model.valueHeads, inputs: width)
  }
}
