import GGUF

/// Qwen3_5MoeForConditionalGeneration and ForCausalLM: Qwen 3.5 and later with experts.
struct Qwen35MoeCheckpoint: CheckpointArchitecture {
  static let names = ["Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM"]
  static let ggufName = "qwen35moe"
  static let isNested = true
  static let keys = DeltaNetConfig.keys.adding(DeltaNetConfig.expertKeys)

  private let model: DeltaNetConfig
  private let experts: GatedExperts

  init(config: Config) throws {
    model = try DeltaNetConfig(config, DeltaNetConfig.Defaults(keyHeads: 2, hasDenseLayers: false))
    experts = try GatedExperts(config, count: 256, used: 8)
  }

  var predictionBlocks: Int { model.predictionBlocks }
  func leavesOut(_ name: String) -> Bool { model.leavesOut(name) }

  func hyperparameters() throws -> Metadata {
    try model.qwen35Keys(Self.ggufName).merging(experts.keys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try model.collectQwen35Tensors(&all) { block, all in try experts.collectTensors(block, model, &all) }
  }
}
