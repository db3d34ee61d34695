import Checkpoint
import Files
import Foundation
import GGUF
import MLX
import Quantize
import Tensors
import TestSupport
import Testing

/// Damaged and forged MLX directories give typed errors.
@Suite struct MutatedMLXTests {
  @Test func headers() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      try MutatedDirectory().survive(file: "model.safetensors")
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  @Test func configurations() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      try MutatedDirectory().survive(file: "config.json")
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}

/// A small directory in two formats.
private struct MutatedDirectory {
  private let files: [String: [UInt8]]

  init() throws {
    let copy = try ReferenceModel.copy("qwen3moe")
    let checkpoint = try CheckpointDirectory(path: copy.path)
    let source = try MLXSource(checkpoint, reading: checkpoint, version: "test")
    let types = source.tensors.map { tensor in
      let bits = tensor.name.contains("attn_") ? 3 : 4
      let format = AffineFormat(bits: bits, group: 32, scales: source.scales)
      return tensor.isQuantizable
        ? format?.type.fitting(columns: tensor.shape.columns) ?? tensor.type : tensor.exactType
    }
    let folder = try TemporaryDirectory()
    let path = folder.path("out")
    _ = try Rewriter(try OutputHeader(source: source, importance: nil, fingerprint: "0").plan(types))
      .write(to: path, options: RewriteOptions())
    files = Dictionary(
      uniqueKeysWithValues: try FileManager.default.contentsOfDirectory(atPath: path).map {
        ($0, Array(try Data(contentsOf: URL(filePath: path + "/" + $0))))
      })
  }

  func survive(file: String) throws {
    guard let golden = files[file] else { throw FormatError(path: file, "is missing") }
    // The header of the weights, behind its length.
    let header =
      file == "config.json" ? golden.indices : 0..<8 + Int(golden[0]) + Int(golden[1]) << 8 + Int(golden[2]) << 16
    try MutatedFiles.json.survive(
      golden, named: file, others: files.filter { $0.key != file }, count: 1000, damaging: header,
      isTyped: {
        $0 is FormatError || $0 is FileError || $0 is RefusedConfig || $0 is UnneededIgnoring || $0 is MetadataError
      },
      read: { _, directory in
        let model = try MLXModel(path: directory)
        for tensor in model.tensors.prefix(8) { _ = try model.rows(0..<1, of: tensor) }
      })
  }
}
