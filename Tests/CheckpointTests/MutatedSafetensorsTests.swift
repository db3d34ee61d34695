import Checkpoint
import Files
import Foundation
import TestSupport
import Testing

/// Damaged and forged checkpoints give typed errors.
@Suite struct MutatedSafetensorsTests {
  @Test func headers() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let header = """
        {"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]},\
        "b.weight_scale_inv":{"dtype":"F32","shape":[2,1],"data_offsets":[64,72]},\
        "b":{"dtype":"F8_E4M3","shape":[2,8],"data_offsets":[72,88]},"c":{"dtype":"F16","shape":[],"data_offsets":[88,90]}}
        """
      var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
      bytes += Array(header.utf8)
      let damaged = 0..<bytes.count
      bytes += (0..<90).map { UInt8($0) }
      try MutatedFiles.json.survive(
        bytes, named: "model.safetensors", damaging: damaged, repair: repairLength,
        isTyped: { $0 is FormatError || $0 is FileError }, read: { path, _ in _ = try Safetensors(path: path) })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  /// Shapes with a zero extent and an overflowing product.
  @Test(arguments: ["[0,4611686018427387904]", "[4611686018427387904,0]", "[0,4294967296,4294967296]", "[-1,0]"])
  func shapesWithoutElements(shape: String) throws {
    let directory = try TemporaryDirectory()
    let header = #"{"a":{"dtype":"F32","shape":\#(shape),"data_offsets":[0,0]}}"#
    var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
    bytes += Array(header.utf8)
    try Data(bytes).write(to: directory.url.appending(path: "a"))
    let error = try #require(throws: FormatError.self) { try Safetensors(path: directory.path("a")) }
    #expect(error.description.contains("tensor a"))
  }

  /// A config.json that implies two billion tensors, or a number of weights that overflows.
  @Test(arguments: [
    (#""num_hidden_layers": 10000, "num_local_experts": 65536"#, 32),
    (#""num_hidden_layers": 10000, "num_local_experts": 8"#, 1 << 26),
  ])
  func impossibleModels(counts: String, width: Int) throws {
    let error = try #require(throws: FormatError.self) {
      try ModelShapes(
        configuration: """
          {"architectures": ["MixtralForCausalLM"], "hidden_size": \(width), "intermediate_size": \(width),
          "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 100, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
          "num_experts_per_tok": 2, \(counts)}
          """, name: "a")
    }
    #expect(error.description.contains("makes more weights than any model has"))
  }

  @Test func tokenizers() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      try MutatedFiles.json.survive(
        Array(TokenizerBadInputTests.json.utf8), named: "tokenizer.json",
        others: ["config.json": Array(#"{"vocab_size":5}"#.utf8)],
        isTyped: { $0 is FormatError || $0 is TextError || $0 is FileError },
        read: { _, directory in _ = try tokenizerMetadata(directory: directory, architecture: "llama") })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  /// tokenizer.model: a message of pieces, each with its text, a score and a kind.
  @Test func sentencePieceModels() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      var bytes: [UInt8] = []
      let bytePieces = (0..<256).map { (String(format: "<0x%02X>", $0), UInt8(6)) }
      let pieces: [(String, UInt8)] = [("<unk>", 2), ("<s>", 3), ("</s>", 3)] + bytePieces + [("▁a", 1), ("b", 1)]
      for (text, kind) in pieces {
        var piece: [UInt8] = [0x0A, UInt8(text.utf8.count)] + Array(text.utf8)
        piece += [0x15] + withUnsafeBytes(of: Float(-2).bitPattern.littleEndian) { Array($0) } + [0x18, kind]
        bytes += [0x0A, UInt8(piece.count)] + piece
      }
      // The trainer: byte-pair encoding with byte fallback. The normalizer: no blanks are removed.
      bytes += [0x12, 5, 0x18, 2, 0x98, 2, 1] + [0x1A, 2, 0x20, 0]
      try MutatedFiles.binary.survive(
        bytes, named: "tokenizer.model", others: ["config.json": Array(#"{"vocab_size":261}"#.utf8)],
        isTyped: { $0 is FormatError || $0 is TextError || $0 is FileError },
        read: { _, directory in _ = try tokenizerMetadata(directory: directory, architecture: "llama") })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}

/// Corrects the header's length, so that the damage reaches the header.
private func repairLength(_ bytes: inout [UInt8]) {
  guard bytes.count > 100 else { return }
  let length = UInt64(bytes.count - 98)
  bytes.replaceSubrange(0..<8, with: withUnsafeBytes(of: length.littleEndian) { Array($0) })
}
