import Checkpoint
import Foundation
import GGUF
import MLX
import Quantize
import Tensors
import TestSupport
import Testing

@Suite struct MLXMixTests {
  @Test func namesAreReadOrRefused() {
    for name in ["4bit", "2bit/128", "mixed_3_6", "mixed_2_6/32", "6bit-plain", "mixed_4_6/128-plain"] {
      #expect(MLXMix(name: name) != nil, "\(name)")
    }
    for name in ["", "Q4_K_M", "7bit", "mixed_5_6", "mixed_3_6/16", "4bit/64-f16", "mixed_3_6/64/2"] {
      #expect(MLXMix(name: name) == nil, "\(name)")
    }
  }

  /// The layers and names that `mixed_quant_predicate_builder` of mlx_lm 0.32.2 gives more bits, for the demo model's four
  /// layers: index 3 (7 * 4 // 8) and 2 ((2 - 0) % 3 == 2).
  @Test func recipesAreThoseOfMLX() throws {
    let checkpoint = try CheckpointDirectory(path: Repository.demoModel)
    let source = try MLXSource(checkpoint, reading: checkpoint, version: "test")
    let mix = try #require(MLXMix(name: "mixed_3_6/32"))
    for (tensor, type) in zip(source.tensors, mix.types(for: source)) {
      guard tensor.isQuantizable else {
        #expect(type == tensor.exactType)
        continue
      }
      let isException =
        tensor.name == "output.weight"
        || [2, 3].contains(tensor.layer ?? 0) && (tensor.name.contains("attn_v") || tensor.name.contains("ffn_down"))
      #expect(type.affine?.bits == (isException ? 6 : 3), "\(tensor.name)")
      #expect(type.affine?.group == 32 && type.affine?.scales == .f16)
    }
  }
}
