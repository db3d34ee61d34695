import Checkpoint
import Foundation
import Tensors
import TestSupport
import Testing

/// Checkpoints are downloads: a damaged or forged one is refused with words.
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
        isTyped: { $0 is CheckpointError || $0 is FileError }, read: { path, _ in _ = try Safetensors(path: path) })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  @Test func tokenizers() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      try MutatedFiles.json.survive(
        Array(TokenizerBadInputTests.json.utf8), named: "tokenizer.json",
        others: ["config.json": Array(#"{"vocab_size":5}"#.utf8)],
        isTyped: { $0 is CheckpointError || $0 is FileError },
        read: { _, directory in _ = try tokenizerMetadata(directory: directory, architecture: "llama") })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  /// tokenizer.model: a message of pieces, each with its text, a score and a kind.
  @Test func sentencePieceModels() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      var bytes: [UInt8] = []
      for (text, kind) in [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<0x0A>", 6), ("▁a", 1), ("b", 1)]
        as [(String, UInt8)]
      {
        var piece: [UInt8] = [0x0A, UInt8(text.utf8.count)] + Array(text.utf8)
        piece += [0x15] + withUnsafeBytes(of: Float(-2).bitPattern.littleEndian) { Array($0) } + [0x18, kind]
        bytes += [0x0A, UInt8(piece.count)] + piece
      }
      // The trainer's part: byte-pair encoding.
      bytes += [0x12, 2, 0x18, 2]
      try MutatedFiles.binary.survive(
        bytes, named: "tokenizer.model", others: ["config.json": Array(#"{"vocab_size":6}"#.utf8)],
        isTyped: { $0 is CheckpointError || $0 is FileError },
        read: { _, directory in _ = try tokenizerMetadata(directory: directory, architecture: "llama") })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}

/// Makes what the file says of its header's length right again, so that damage reaches the header.
private func repairLength(_ bytes: inout [UInt8]) {
  guard bytes.count > 100 else { return }
  let length = UInt64(bytes.count - 98)
  bytes.replaceSubrange(0..<8, with: withUnsafeBytes(of: length.littleEndian) { Array($0) })
}
