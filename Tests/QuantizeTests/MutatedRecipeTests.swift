import Files
import Foundation
import Quantize
import TestSupport
import Testing

/// Damaged and forged recipes give typed errors.
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
        Array(golden.utf8), named: "mix.yaml", isTyped: { $0 is RecipeError || $0 is TextError || $0 is FileError },
        read: { path, _ in
          _ = try Recipe(yaml: try TextFile(path: path).text, file: path)
        })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}
