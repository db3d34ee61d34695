import Blocks
import Checkpoint
import Files
import Foundation
import GGUF
import MLX
import Quantize
import Tensors
import TestSupport
import Testing

/// Directories of every architecture, written and read again.
@Suite struct MLXDirectoryTests {
  /// A small random model in the form of MLX.
  private struct Model {
    let copy: DemoCopy
    let source: MLXSource

    init(_ name: String) throws {
      copy = try ReferenceModel.copy(name)
      let checkpoint = try CheckpointDirectory(path: copy.path)
      source = try MLXSource(checkpoint, reading: checkpoint, version: "test")
    }

    /// Formats of groups of 32 and 64 in turn, and some floats.
    var types: [GGMLType] {
      var number = 0
      return source.tensors.map { tensor in
        guard tensor.isQuantizable else { return tensor.exactType }
        number += 1
        let bits = AffineFormat.allBits[number % AffineFormat.allBits.count]
        let format = AffineFormat(bits: bits, group: number % 2 == 0 ? 64 : 32, scales: source.scales)
        let type = format?.type.fitting(columns: tensor.shape.columns) ?? tensor.type
        // Published blocks stay, and groups must not cross heads that change places.
        let isPossible = tensor.type != .mxfp4 && source.form.bytes(of: tensor, as: type) != nil
        return number % 7 != 0 && isPossible ? type : tensor.type
      }
    }

    func plan(_ types: [GGMLType]) throws -> RewritePlan {
      try OutputHeader(source: source, importance: nil, fingerprint: "0").plan(types)
    }
  }

  private static func bytes(in folder: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: folder).reduce(0) { sum, name in
      let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/" + name)
      return sum + (attributes[.size] as? Int ?? 0)
    }
  }

  private static func contents(of folder: String) throws -> [String: Data] {
    var result: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      result[name] = try Data(contentsOf: URL(filePath: folder).appending(path: name))
    }
    return result
  }

  private static func rows(_ tensor: TensorInfo, of source: any ModelSource) throws -> [UInt8] {
    let bytes = try #require(tensor.shape.bytes(as: tensor.type))
    var result = [UInt8](repeating: 0, count: bytes)
    var span = result.mutableSpan
    var raw = span.mutableBytes
    try source.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
    return result
  }

  @Test(
    arguments: ReferenceModel.architectures + [
      "gemma3", "gemma4", "gemma4-shared", "qwen35", "qwen35-plain", "qwen35moe", "qwen3next", "gpt-oss",
      "gpt-oss-mxfp4",
    ])
  func writtenDirectoriesAreReadBack(name: String) throws {
    let model = try Model(name)
    let folder = try TemporaryDirectory()
    let path = folder.path("out")
    let types = model.types
    let plan = try model.plan(types)
    _ = try Rewriter(plan).write(to: path, options: RewriteOptions())
    #expect(folder.contents == ["out"])
    #expect(try Self.bytes(in: path) == plan.totalBytes)
    #expect(MLXModel.isMLX(path) && !MLXModel.isMLX(model.copy.path))
    let read = try MLXModel(path: path)
    #expect(read.tensors.map(\.name) == model.source.tensors.map(\.name))
    #expect(
      read.metadata.optionalString("general.architecture")
        == model.source.metadata.optionalString("general.architecture"))
    for (tensor, type) in zip(model.source.tensors, types) {
      let found = try #require(read.tensor(named: tensor.name))
      if tensor.name.hasSuffix(".ssm_a") || name == "gemma3" && tensor.name.hasSuffix("_norm.weight") {
        // MLX has other elements, which are a GGUF's again when they are read.
        #expect(found.type == .f32 && found.shape == tensor.shape, "\(tensor.name)")
        let (a, b) = (
          try model.source.rows(0..<tensor.shape.rows, of: tensor), try read.rows(0..<found.shape.rows, of: found)
        )
        #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-2 * max(1, abs($0)) } && a.count == b.count, "\(tensor.name)")
        #expect(try Self.rows(tensor, of: model.source) != Self.rows(found, of: read))
        continue
      }
      #expect(found.type == type && found.shape == tensor.shape, "\(tensor.name)")
      var expected = try Self.rows(tensor, of: model.source)
      if type != tensor.type {
        let columns = tensor.shape.columns
        var floats = [Float](repeating: 0, count: tensor.shape.count)
        var output = floats.mutableSpan
        try model.source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &output)
        expected = [UInt8](repeating: 0, count: try #require(tensor.shape.bytes(as: type)))
        var span = expected.mutableSpan
        var raw = span.mutableBytes
        try encodeRows(floats.span, columns: columns, importance: nil, as: type, into: &raw)
      }
      #expect(try Self.rows(found, of: read) == expected, "\(tensor.name)")
      // A part of the rows, from the middle of a head.
      if tensor.shape.rows > 5, let rowBytes = type.rowBytes(columns: tensor.shape.columns) {
        var part = [UInt8](repeating: 0, count: 3 * rowBytes)
        var span = part.mutableSpan
        var raw = span.mutableBytes
        try read.readBytes(of: found, rows: 2..<5, into: &raw)
        #expect(part == Array(expected[2 * rowBytes..<5 * rowBytes]), "\(tensor.name)")
      }
    }
  }

  /// Stops after some tensors.
  private final class Stopping: RunObserver, @unchecked Sendable {
    struct Stop: Error {}
    private var remaining: Int

    init(after count: Int) { remaining = count }

    func advance(_ progress: RunProgress) throws {}

    func pause() throws {
      remaining -= 1
      if remaining == 0 { throw Stop() }
    }
  }

  @Test(arguments: ["llama2", "qwen3moe"]) func interruptedRunsContinue(name: String) throws {
    let model = try Model(name)
    let folder = try TemporaryDirectory()
    let plan = try model.plan(model.types)
    _ = try Rewriter(plan).write(to: folder.path("whole"), options: RewriteOptions())
    var options = RewriteOptions()
    options.identity = RunIdentity(version: "1", source: "2", importance: "none", recipe: plan.digest)
    let path = folder.path("out")
    #expect(throws: Paused.self) {
      try Rewriter(plan).write(to: path, options: options, progress: Stopping(after: 4))
    }
    #expect(folder.contents == ["out.journal", "out.part", "whole"])
    // Files that another version of a run has left are not published.
    try Data("old".utf8).write(to: URL(filePath: path + ".part/model-00002-of-00002.safetensors.part"))
    try Data("old".utf8).write(to: URL(filePath: path + ".part/model-00001-of-00002.safetensors"))
    let report = try Rewriter(plan).write(to: path, options: options)
    #expect(report.resumedTensors == 4)
    #expect(folder.contents == ["out", "whole"])
    #expect(try Self.contents(of: path) == Self.contents(of: folder.path("whole")))
  }

  @Test func existingFoldersAreReplacedOnlyIfTheyAreModels() throws {
    let model = try Model("qwen2")
    let folder = try TemporaryDirectory()
    let plan = try model.plan(model.types)
    let path = folder.path("out")
    _ = try Rewriter(plan).write(to: path, options: RewriteOptions())
    #expect(throws: FileError.self) { try Rewriter(plan).write(to: path, options: RewriteOptions()) }
    try Data("old".utf8).write(to: URL(filePath: path).appending(path: "model-00009-of-00009.safetensors"))
    _ = try Rewriter(plan).write(to: path, options: RewriteOptions(overwrite: true))
    #expect(folder.contents == ["out"])
    #expect(try Self.bytes(in: path) == plan.totalBytes)
    try FileManager.default.createDirectory(atPath: path + "/photos", withIntermediateDirectories: false)
    #expect(throws: FormatError.self) {
      try Rewriter(plan).write(to: path, options: RewriteOptions(overwrite: true))
    }
  }

  @Test func configurationHasAnEntryForEveryTensorThatDiffers() throws {
    let model = try Model("mixtral")
    let folder = try TemporaryDirectory()
    let path = folder.path("out")
    let types = model.types
    _ = try Rewriter(try model.plan(types)).write(to: path, options: RewriteOptions())
    let data = try Data(contentsOf: URL(filePath: path).appending(path: "config.json"))
    let config = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let quantization = try #require(config["quantization"] as? [String: Any])
    let base = try #require(quantization["bits"] as? Int)
    for (tensor, type) in zip(model.source.tensors, types) where tensor.isQuantizable {
      let name = tensor.name.replacing("blk.", with: "model.layers.").replacing(".weight", with: "")
      guard name.hasSuffix("attn_v") else { continue }
      let module = name.replacing("attn_v", with: "self_attn.v_proj")
      guard let format = type.affine else {
        #expect(quantization[module] as? Bool == false)
        continue
      }
      let entry = quantization[module] as? [String: Any]
      #expect(entry?["bits"] as? Int ?? base == format.bits)
    }
    #expect(config["rope_theta"] as? Double == 1_000_000)
    #expect(config["tie_word_embeddings"] as? Bool == false)
  }

  @Test func damagedDirectoriesAreRefused() throws {
    let model = try Model("qwen3")
    let folder = try TemporaryDirectory()
    let path = folder.path("out")
    _ = try Rewriter(try model.plan(model.types)).write(to: path, options: RewriteOptions())
    let config = URL(filePath: path).appending(path: "config.json")
    let text = try String(contentsOf: config, encoding: .utf8)
    for (old, new) in [
      ("\"mode\": \"affine\"", "\"mode\": \"mxfp4\""), ("\"model_type\": \"qwen3\"", "\"model_type\": \"bert\""),
      ("\"bits\": 2", "\"bits\": 7"), ("\"hidden_size\": 32", "\"hidden_size\": 64"),
    ] {
      try #require(text.contains(old), "\(old)")
      try Data(text.replacing(old, with: new).utf8).write(to: config)
      #expect(throws: FormatError.self, "\(old)") { try MLXModel(path: path) }
    }
    try Data(text.utf8).write(to: config)
    _ = try MLXModel(path: path)
    try FileManager.default.copyItem(atPath: path + "/model.safetensors", toPath: path + "/model-old.safetensors")
    #expect(throws: FormatError.self) { try MLXModel(path: path) }
  }
}
