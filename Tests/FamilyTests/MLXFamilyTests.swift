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
