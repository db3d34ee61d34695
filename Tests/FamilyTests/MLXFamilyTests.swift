import Checkpoint
import Foundation
import GGUF
import MLX
import Quantize
import Tensors
import TestSupport
import Testing

/// MLX directories of the architectures, written and read again.
@Suite struct MLXFamilyTests {
  /// Architectures that no class of mlx_lm holds as they are, with the reason.
  private static let refused = [
    "ernie4_5-moe": "biases of its routers", "hy_v3": "mlx_lm has no class", "muse-glimmer": "norms",
    "glm-dsa": "has no indexer but shares another layer's",
  ]

  private static func source(_ name: String, in directory: TemporaryDirectory) throws -> MLXSource {
    let checkpoint = try CheckpointDirectory(path: try Family(name).write(in: directory))
    return try MLXSource(checkpoint, reading: checkpoint, version: "test")
  }

  private static func bytes(_ tensor: TensorInfo, of source: any ModelSource) throws -> [UInt8] {
    var result = [UInt8](repeating: 0, count: try #require(tensor.shape.bytes(as: tensor.type)))
    var span = result.mutableSpan
    var raw = span.mutableBytes
    try source.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
    return result
  }

  @Test(arguments: Family.names.filter { refused[$0] == nil }) func writtenDirectoriesAreReadBack(name: String) throws {
    let directory = try TemporaryDirectory()
    let source = try Self.source(name, in: directory)
    let path = directory.path("out")
    let plan = try OutputHeader(source: source, importance: nil, fingerprint: "0").plan(source.tensors.map(\.type))
    _ = try Rewriter(plan).write(to: path, options: RewriteOptions())
    let sizes = try FileManager.default.contentsOfDirectory(atPath: path).map {
      try FileManager.default.attributesOfItem(atPath: path + "/" + $0)[.size] as? Int ?? 0
    }
    #expect(sizes.reduce(0, +) == plan.totalBytes)
    let read = try MLXModel(path: path)
    #expect(read.tensors == source.tensors)
    for tensor in source.tensors {
      let found = try Self.bytes(tensor, of: read)
      #expect(try found == Self.bytes(tensor, of: source), "\(tensor.name)")
    }
    for key in ["general.architecture", "block_count"] {
      let name = key.contains(".") ? key : (source.metadata.optionalString("general.architecture") ?? "") + "." + key
      #expect(read.metadata[name] != nil && read.metadata[name] == source.metadata[name], "\(name)")
    }
  }

  @Test(arguments: refused) func modelsThatNoClassHoldsAreRefused(name: String, reason: String) throws {
    let directory = try TemporaryDirectory()
    #expect { _ = try Self.source(name, in: directory) } throws: { "\($0)".contains(reason) }
  }

  @Test func headsThatAreTiedAreRefusedWhereTheClassHasOne() throws {
    let directory = try TemporaryDirectory()
    let path = try Family("glm4moe-air").write(in: directory) { $0["tie_word_embeddings"] = true }
    let shapes = try ModelShapes(path: path)
    #expect { _ = try MLXSource(describing: shapes, directory: path, version: "test") } throws: {
      "\($0)".contains("tie_word_embeddings")
    }
  }

  /// A change of a model, and what the refusal names.
  struct Refusal: Sendable {
    let name: String
    let changes: [String: String]
    let part: String

    init(_ name: String, _ changes: [String: String], _ part: String) {
      (self.name, self.changes, self.part) = (name, changes, part)
    }
  }

  /// Models that mlx_lm refuses to load, or computes otherwise.
  @Test(arguments: [
    Refusal("seed_oss", ["model_type": #""qwen3""#], "architectures names SeedOssForCausalLM"),
    Refusal("olmo2", ["model_type": #""llama""#], "architectures names Olmo2ForCausalLM"),
    Refusal(
      "olmo3",
      ["layer_types": #"["sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention"]"#],
      "has sliding attention alone"),
    Refusal(
      "olmo3", ["layer_types": #"["full_attention", "full_attention", "full_attention", "full_attention"]"#],
      "has full attention alone"),
    Refusal(
      "glm4moe",
      [
        "rope_parameters":
          #"{"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "partial_rotary_factor": 0.5}"#
      ],
      "scales no positions"),
    Refusal(
      "ministral3",
      [
        "rope_parameters": """
        {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6, "original_max_position_embeddings": 16,
        "llama_4_scaling_beta": 0.1, "attention_factor": 2.0}
        """
      ], "multiplies queries and keys by 2.0"),
    Refusal("phi3", ["head_dim": "32"], "key head_dim: is 32"),
  ]) func modelsThatAClassComputesOtherwiseAreRefused(refusal: Refusal) throws {
    let directory = try TemporaryDirectory()
    let path = try Family(refusal.name).write(in: directory) { config in
      for (key, text) in refusal.changes {
        config[key] = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
      }
    }
    let shapes = try ModelShapes(path: path)
    #expect { _ = try MLXSource(describing: shapes, directory: path, version: "test") } throws: {
      "\($0)".contains(refusal.part)
    }
  }

  /// config.json of a model that lacks some keys, as it is written.
  private static func written(_ name: String, _ change: (inout [String: Any]) -> Void) throws -> [String: Any] {
    let directory = try TemporaryDirectory()
    let path = try Family(name).write(in: directory, change)
    let checkpoint = try CheckpointDirectory(path: path)
    let source = try MLXSource(checkpoint, reading: checkpoint, version: "test")
    let plan = try OutputHeader(source: source, importance: nil, fingerprint: "0").plan(source.tensors.map(\.type))
    _ = try Rewriter(plan).write(to: directory.path("out"), options: RewriteOptions())
    let data = try Data(contentsOf: URL(filePath: directory.path("out") + "/config.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// Defaults of the `transformers` package that mlx_lm's class needs, or has otherwise.
  @Test(arguments: [
    ("minimax-m2", ["rotary_dim", "use_qk_norm"], "rotary_dim", "12"),
    ("glm4moe", ["attention_bias"], "attention_bias", "1"),
    ("glm4moe-air", ["use_qk_norm"], "use_qk_norm", "0"),
    ("glm4moe", ["routed_scaling_factor"], "routed_scaling_factor", "1.0"),
    ("granite", ["logits_scaling"], "logits_scaling", "1.0"), ("granite", ["attention_bias"], "attention_bias", "0"),
    ("olmo3", ["layer_types"], "layer_types", "sliding_attention sliding_attention sliding_attention full_attention"),
    ("smollm3", ["rope_parameters"], "rope_theta", "2000000.0"), ("ernie4_5", ["use_bias"], "use_bias", "0"),
    ("deepseek32", ["norm_topk_prob"], "norm_topk_prob", "1"),
  ]) func defaultsAreWritten(name: String, removed: [String], key: String, value: String) throws {
    let config = try Self.written(name) { config in for key in removed { config[key] = nil } }
    let found = try #require(config[key])
    let text = (found as? [String])?.joined(separator: " ") ?? (found as? NSNumber)?.stringValue
    #expect(text == value)
  }

  @Test func declaredPredictionBlocksAreNotCompared() throws {
    let directory = try TemporaryDirectory()
    let path = try Family("glm4moe-air").write(in: directory) { $0["num_nextn_predict_layers"] = 1 }
    let model = try CheckpointDirectory(path: path)
    #expect(try ModelDifference(between: model, and: ModelShapes(path: path, carriesPrediction: false)) == nil)
    let second = try TemporaryDirectory()
    let other = try Family("glm4moe-air").write(in: second) { $0["routed_scaling_factor"] = 3 }
    let difference = try #require(try ModelDifference(between: model, and: ModelShapes(path: other)))
    #expect(difference.subject == "key glm4moe.expert_weights_scale" && difference.config == "3.0")
  }

  /// Lists of a GGUF that no model has, and fractions in messages.
  @Test(arguments: [([], ""), ([1.05, 2], "1.05 2")] as [([Float], String)])
  func listsAreCompared(_ values: [Float], _ text: String) throws {
    let directory = try TemporaryDirectory()
    let shapes = try ModelShapes(path: try Family("glm4moe-air").write(in: directory))
    let key = "glm4moe.rope.freq_base"
    let metadata = shapes.metadata.merging([key: .array(.float32(values))]) { $1 }
    let difference = try ModelDifference(between: MemoryModel(metadata: metadata, tensors: []), and: shapes)
    #expect(difference?.subject == "key \(key) (rope_theta)" && difference?.model == text)
  }

  /// Keys that classes of mlx_lm need, and that configurations of the `transformers` package have elsewhere or not at all.
  @Test(arguments: [
    ("glm4moe", "partial_rotary_factor", "0.5"), ("glm4moe", "rope_scaling", "null"),
    ("glm4moe", "num_nextn_predict_layers", "0"), ("olmo3", "rope_theta", "10000"),
    ("phi3-longrope", "partial_rotary_factor", "0.75"), ("minimax-m2", "shared_intermediate_size", "0"),
  ])
  func configurationsHaveTheKeysOfTheClass(name: String, key: String, value: String) throws {
    let directory = try TemporaryDirectory()
    let source = try Self.source(name, in: directory)
    let plan = try OutputHeader(source: source, importance: nil, fingerprint: "0").plan(source.tensors.map(\.type))
    _ = try Rewriter(plan).write(to: directory.path("out"), options: RewriteOptions())
    let text = try String(contentsOfFile: directory.path("out") + "/config.json", encoding: .utf8)
    #expect(text.contains("\"\(key)\": \(value)"))
  }
}
