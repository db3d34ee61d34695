import Files
import GGUF

/// The experts of a block: routed ones, and one for all tokens, whose output has a gate.
struct GatedExperts: Sendable {
  let count: Int
  let used: Int
  let width: Int
  let sharedWidth: Int

  /// - Parameter used: the default of a missing `num_experts_per_tok`.
  init(_ config: Config, count: Int, used: Int) throws {
    self.count = try config.int(
      config["num_local_experts"] != nil ? "num_local_experts" : "num_experts", default: count)
    self.used = try config.int("num_experts_per_tok", default: used)
    width = try config.int("moe_intermediate_size", default: 512)
    sharedWidth = try config.int("shared_expert_intermediate_size", default: 512)
    guard self.used <= self.count, self.count <= 1 << 16 else {
      throw FormatError(
        path: config.path, subject: "key num_experts_per_tok", "is \(self.used) of \(self.count) experts")
    }
  }

  func keys(_ name: String) -> Metadata {
    [
      "\(name).expert_count": .uint32(UInt32(count)), "\(name).expert_used_count": .uint32(UInt32(used)),
      "\(name).expert_feed_forward_length": .uint32(UInt32(width)),
      "\(name).expert_shared_feed_forward_length": .uint32(UInt32(sharedWidth)),
    ]
  }

  /// Adds the router, the experts, which are stored each or stacked, and the shared expert with its gate.
  func collectTensors(_ block: DeltaNetConfig.Block, _ model: DeltaNetConfig, _ all: inout TensorCollector) throws {
    let (to, from, inputs) = (block.name, block.stored + "mlp.", model.decoder.width)
    try all.exactMatrix(to + "ffn_gate_inp.weight", from: from + "gate.weight", outputs: count, inputs: inputs)
    let stacked = from + "experts.gate_up_proj"
    if all.prefers(stacked) {
      try all.stackedExperts(to, from: from + "experts.", count: count, width: width, inputs: inputs)
    } else {
      for (name, part, outputs, inputs) in [
        ("ffn_gate_exps", "gate_proj", width, inputs), ("ffn_up_exps", "up_proj", width, inputs),
        ("ffn_down_exps", "down_proj", inputs, width),
      ] {
        try all.experts(to + name + ".weight", count: count, outputs: outputs, inputs: inputs) {
          "\(from)experts.\($0).\(part).weight"
        }
      }
    }
    try all.exactMatrix(
      to + "ffn_gate_inp_shexp.weight", from: from + "shared_expert_gate.weight", outputs: 1, inputs: inputs)
    try model.unit(block, from: "mlp.shared_expert.", to: "_shexp", width: sharedWidth, &all)
  }
}
