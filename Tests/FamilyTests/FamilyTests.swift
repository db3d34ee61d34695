import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing
import Transformer

/// Architectures beside their reference implementations: llama.cpp's converter, and the forward pass of `transformers`.
@Suite struct FamilyTests {
  /// Keys that the converter leaves out, although readers need them.
  static let additions: [String: Set<String>] = [
    // Readers recognise the router by the numbers of layers and tokens.
    "glm4moelite": ["deepseek2.expert_gating_func"],
    // Without them, scores do not grow with the position.
    "mistral4": ["mistral4.attention.temperature_scale", "mistral4.attention.temperature_length"],
  ]

  @Test(arguments: Family.names) func keysAndTensorsAreTheConverters(name: String) throws {
    let family = try Family(name)
    let directory = try TemporaryDirectory()
    let model = try CheckpointDirectory(path: try family.write(in: directory))
    #expect(model.configReview.unknown == [])
    var keys: [String: String] = [:]
    for (key, value) in model.metadata where !key.hasPrefix("tokenizer.") { keys[key] = describe(value) }
    let additions = Self.additions[name] ?? []
    #expect(Set(keys.keys) == Set(family.keys.keys).union(additions))
    for (key, value) in family.keys { #expect(keys[key] == value, "\(key)") }
    #expect(Set(model.tensors.map(\.name)) == Set(family.tensors.keys))
    for tensor in model.tensors {
      let expected = try #require(family.tensors[tensor.name])
      #expect(tensor.shape.dimensions == expected.dimensions, "\(tensor.name)")
      #expect(tensor.type == (expected.isExact ? .f32 : .bf16), "\(tensor.name)")
      #expect(try digest(of: tensor, in: model) == expected.digest, "\(tensor.name)")
    }
  }

  /// For single precision in another order of additions.
  static let tolerance = 1e-4

  @Test(arguments: Family.names) func logitsAreTransformers(name: String) throws {
    let family = try Family(name)
    let directory = try TemporaryDirectory()
    let model = try CheckpointDirectory(path: try family.write(in: directory))
    let pass = try ForwardPass(source: model)
    let observer = Recorder()
    let final = try pass.run(windows: [family.tokens], scored: 0..<family.tokens.count, observer: observer)
    var logits = [Float](repeating: 0, count: family.tokens.count * Family.columns)
    var span = logits.mutableSpan
    try final.logits(rows: 0..<family.tokens.count, vocabulary: 0..<Family.columns, into: &span)
    let found = Family.positions.flatMap { logits[$0 * Family.columns..<($0 + 1) * Family.columns] }
    let scale = (family.logits.reduce(0) { $0 + Double($1) * Double($1) } / Double(family.logits.count)).squareRoot()
    let difference = zip(found, family.logits).map { abs(Double($0) - Double($1)) }.max() ?? .infinity
    #expect(difference / scale < Self.tolerance, "\(difference / scale)")
    // Every matrix has importance.
    #expect(observer.names == Set(pass.decoder.layerMatrices.map(\.name) + [pass.decoder.output.name]))
    #expect(pass.decoder.layerMatrices.count == Set(pass.decoder.layerMatrices.map(\.name)).count)
  }

  /// Positions that are not needed are left out of the last layer.
  @Test(arguments: Family.names) func scoredPositionsAlone(name: String) throws {
    let family = try Family(name)
    let directory = try TemporaryDirectory()
    let model = try CheckpointDirectory(path: try family.write(in: directory))
    let last = family.tokens.count - 1
    let final = try ForwardPass(source: model).run(windows: [family.tokens], scored: last..<last + 1)
    var logits = [Float](repeating: 0, count: Family.columns)
    var span = logits.mutableSpan
    try final.logits(rows: 0..<1, vocabulary: 0..<Family.columns, into: &span)
    let expected = family.logits.suffix(Family.columns)
    let difference = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(difference < 1e-3)
  }

  /// Values that change the arithmetic in a way that the GGUF does not have: the message names key and value.
  @Test(arguments: [
    ("smollm3", #"{"no_rope_layers": [1, 0, 1, 0, 1]}"#, "no_rope_layers", "0 in layer 1"),
    ("smollm3", #"{"no_rope_layer_interval": 3}"#, "no_rope_layer_interval", "3"),
    ("seed_oss", #"{"attention_out_bias": true}"#, "attention_out_bias", "true"),
    ("olmo2", #"{"head_dim": 32}"#, "head_dim", "32"),
    ("olmo3", #"{"layer_types": ["chunked_attention"]}"#, "layer_types", "\"chunked_attention\""),
    (
      "olmo3",
      #"{"rope_parameters": {"full_attention": {"rope_theta": 10000.0}, "sliding_attention": {"rope_theta": 500.0}}}"#,
      "rope_parameters.sliding_attention", #"{"rope_theta": 500}"#
    ),
    ("granite", #"{"residual_multiplier": 0}"#, "residual_multiplier", "0"),
    ("phi3", #"{"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}"#, "rope_parameters.rope_type", "yarn"),
    ("ernie4_5-moe", #"{"moe_layer_end_index": 1}"#, "moe_layer_end_index", "1"),
    (
      "hy_v3", #"{"mlp_layer_types": ["sparse", "dense", "sparse"]}"#, "mlp_layer_types",
      #"["sparse", "dense", "sparse"]"#
    ),
    ("glm4moe", #"{"scoring_func": "softmax"}"#, "scoring_func", "\"softmax\""),
    ("minimax-m2", #"{"attn_type_list": [1, 0, 1]}"#, "attn_type_list", "0"),
    ("minimax-m2", #"{"qk_norm_type": "per_head"}"#, "qk_norm_type", "\"per_head\""),
    ("mistral4", #"{"text_config": {"n_group": 2}}"#, "n_group", "2"),
    (
      "muse-glimmer", #"{"text_config": {"layer_rope_theta": [10000.0, 10000.0, 10000.0, 10000.0]}}"#,
      "layer_rope_theta",
      "10000 in layer 3"
    ),
    ("muse-glimmer", #"{"text_config": {"post_norm_eps": 1e-5}}"#, "post_norm_eps", "1e-05"),
    ("glm-dsa", #"{"layer_types": ["sliding_attention"]}"#, "layer_types", "\"sliding_attention\""),
    (
      "deepseek32", #"{"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "mscale_all_dim": 0.7}}"#,
      "rope_parameters.mscale_all_dim", "0.7"
    ),
    ("qwen3vlmoe", #"{"text_config": {"mlp_only_layers": [1]}}"#, "mlp_only_layers", "[1]"),
  ]) func valuesAreRefused(name: String, change: String, key: String, value: String) throws {
    let family = try Family(name)
    let other = try #require(try JSONSerialization.jsonObject(with: Data(change.utf8)) as? [String: Any])
    var config = family.config
    for (key, value) in other {
      if let inner = value as? [String: Any], let given = config[key] as? [String: Any], key == "text_config" {
        config[key] = given.merging(inner) { $1 }
      } else {
        config[key] = value
      }
    }
    let text = String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self)
    let error = #expect(throws: RefusedConfig.self) { try ModelShapes(configuration: text, name: name) }
    #expect(error?.keys.contains { $0.name == key && $0.value == value } == true, "\(String(describing: error?.keys))")
  }

  /// Keys that a file leaves out have the defaults of `transformers`' class, or are refused.
  @Test func keysThatAreMissing() throws {
    func shapes(_ name: String, without key: String) throws -> ModelShapes {
      var config = try Family(name).config
      config[key] = nil
      if var inner = config["text_config"] as? [String: Any] {
        inner[key] = nil
        config["text_config"] = inner
      }
      return try ModelShapes(
        configuration: String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self), name: name)
    }
    for (name, key, gguf, value) in [
      ("olmo2", "rope_parameters", "olmo2.rope.freq_base", Float(10_000)),
      ("olmo3", "rope_parameters", "olmo2.rope.freq_base", 500_000),
      ("glm4moelite", "rms_norm_eps", "deepseek2.attention.layer_norm_rms_epsilon", 1e-5),
      ("glm-dsa", "rms_norm_eps", "glm-dsa.attention.layer_norm_rms_epsilon", 1e-5),
      ("deepseek32", "rms_norm_eps", "deepseek32.attention.layer_norm_rms_epsilon", 1e-6),
    ] {
      #expect(try shapes(name, without: key).metadata[gguf] == .float32(value), "\(name)")
    }
    for (name, key) in [
      ("olmo3", "sliding_window"), ("ministral3", "rope_parameters"), ("mistral4", "rope_parameters"),
    ] {
      #expect { _ = try shapes(name, without: key) } throws: { "\($0)".contains("key \(key): is missing") }
    }
  }

  /// Beyond the tokens that an indexer selects, attention is not to all keys.
  @Test(arguments: ["glm-dsa", "deepseek32"]) func textsBeyondTheIndexersSelection(name: String) throws {
    let family = try Family(name)
    let directory = try TemporaryDirectory()
    let model = try CheckpointDirectory(path: try family.write(in: directory) { $0["index_topk"] = 39 })
    #expect(
      throws: ForwardError.beyondSlidingWindow(
        key: "\(name).attention.indexer.top_k", positions: 39, length: family.tokens.count)
    ) {
      try ForwardPass(source: model).run(windows: [family.tokens], scored: 0..<1)
    }
  }

  /// Blocks for multi-token prediction are left out, or carried if they are stored.
  @Test(arguments: ["glm4moe", "glm4moelite", "hy_v3", "glm-dsa", "deepseek32"])
  func predictionBlocksAreOptional(name: String) throws {
    let family = try Family(name)
    let directory = try TemporaryDirectory()
    let path = try family.write(in: directory)
    let dropped = try CheckpointDirectory(path: path, carriesPrediction: false)
    let whole = try CheckpointDirectory(path: path)
    #expect(!dropped.tensors.contains { $0.name.hasPrefix("blk.3.") })
    #expect(whole.tensors.contains { $0.name == "blk.3.nextn.eh_proj.weight" })
    let architecture = try dropped.metadata.string("general.architecture")
    #expect(dropped.metadata["\(architecture).block_count"] == .uint32(3))
    #expect(dropped.metadata["\(architecture).nextn_predict_layers"] == nil)
    #expect(whole.metadata["\(architecture).block_count"] == .uint32(4))
  }

  /// Scores of latent attention grow with the position after attn_k_b, as in llama.cpp: its importance does not.
  @Test func growthOfScoresIsNotInImportance() throws {
    let family = try Family("mistral4")
    func inputs(growth: Double) throws -> [String: [Float]] {
      let directory = try TemporaryDirectory()
      let path = try family.write(in: directory) {
        var text = $0["text_config"] as? [String: Any] ?? [:]
        var rope = text["rope_parameters"] as? [String: Any] ?? [:]
        #expect(rope["llama_4_scaling_beta"] != nil)
        rope["llama_4_scaling_beta"] = growth
        text["rope_parameters"] = rope
        $0["text_config"] = text
      }
      let observer = Recorder()
      _ = try ForwardPass(source: CheckpointDirectory(path: path)).run(
        windows: [family.tokens], scored: 0..<family.tokens.count, observer: observer)
      return observer.inputs
    }
    let (slow, fast) = (try inputs(growth: 0.1), try inputs(growth: 0.9))
    #expect(slow["blk.0.attn_k_b.weight"]?.isEmpty == false)
    #expect(slow["blk.0.attn_k_b.weight"] == fast["blk.0.attn_k_b.weight"])
    #expect(slow["blk.0.attn_v_b.weight"] != fast["blk.0.attn_v_b.weight"])
  }

  /// Longer texts than the original context have other factors.
  @Test func longFactorsOfPhi3() throws {
    let family = try Family("phi3-longrope")
    let directory = try TemporaryDirectory()
    let short = try CheckpointDirectory(path: try family.write(in: directory))
    let other = try TemporaryDirectory()
    let long = try CheckpointDirectory(
      path: try family.write(in: other) {
        var parameters = $0["rope_parameters"] as? [String: Any] ?? [:]
        parameters["original_max_position_embeddings"] = 39
        parameters["attention_factor"] = 1.0801234493463449
        $0["rope_parameters"] = parameters
        $0["original_max_position_embeddings"] = 39
      })
    func logit(_ model: any ModelSource, _ count: Int) throws -> Float {
      let final = try ForwardPass(source: model).run(
        windows: [Array(family.tokens.prefix(count))], scored: count - 1..<count)
      var logits: [Float] = [0]
      var span = logits.mutableSpan
      try final.logits(rows: 0..<1, vocabulary: 7..<8, into: &span)
      return logits[0]
    }
    #expect(abs(try logit(short, 39) - logit(long, 39)) < 1e-5)
    #expect(abs(try logit(short, 40) - logit(long, 40)) > 1e-3)
  }

  private func digest(of tensor: TensorInfo, in model: some ModelSource) throws -> String {
    var floats = [Float](repeating: 0, count: tensor.shape.count)
    var span = floats.mutableSpan
    try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    var digest = DataDigest()
    digest.update(floats.span.bytes)
    return String(digest.hex().prefix(16))
  }

  /// A value in the form of make.py.
  private func describe(_ value: MetadataValue) -> String {
    switch value {
    case .uint32(let x): "UINT32 \(x)"
    case .float32(let x): "FLOAT32 \(Double(x))"
    case .bool(let x): "BOOL \(x ? 1 : 0)"
    case .string(let x): "STRING \(x)"
    case .array(.bool(let x)): "ARRAY BOOL " + digest(x.map { $0 ? "True" : "False" }.joined(separator: ","))
    case .array(.int32(let x)): "ARRAY INT32 " + digest(x.map(String.init).joined(separator: ","))
    default: "\(value)"
    }
  }

  private func digest(_ text: String) -> String {
    var digest = DataDigest()
    digest.update(Array(text.utf8).span.bytes)
    return String(digest.hex().prefix(32))
  }
}

/// The names of observed matrices, and the inputs of the latent attention's.
private final class Recorder: ForwardObserver {
  private(set) var names: Set<String> = []
  private(set) var inputs: [String: [Float]] = [:]
  let wantsOutput = true

  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) {
    names.formUnion(tensors)
    for name in tensors where name.hasSuffix("_b.weight") {
      self.inputs[name, default: []] += inputs.indices.map { inputs[$0] }
    }
  }
}
