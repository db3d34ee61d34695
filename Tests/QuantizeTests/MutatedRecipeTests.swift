import Files
import Foundation
import Quantize
import TestSupport
import Testing

/// Recipes are passed around: a damaged or forged one is refused with words.
@Suite struct MutatedRecipeTests {
  @Test func recipes() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let golden = """
        name: small
        base: Q4_K
        rules:
          - ^output\\.weight=Q6_K
          - 'blk\\.[0-3]\\.ffn_down=Q3_K'
          - attn_(q|k|v)=IQ4_XS
        """
      try MutatedFiles.yaml.survive(
        Array(golden.utf8), named: "mix.yaml", isTyped: { $0 is RecipeError || $0 is FileError },
        read: { path, _ in
          let file = try PositionedFile(path: path)
          _ = try Recipe(yaml: String(decoding: try file.bytes(in: 0..<file.size), as: UTF8.self), file: path)
        })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}
