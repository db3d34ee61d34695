import GGUF
import TestSupport
import Testing
import Transformer

/// The edges of the product kernel, in whole passes over shapes that are not multiples of a tile.
@Suite(.serialized) struct ProductTests {
  @Test(arguments: [(36, 7, 21), (48, 1, 40), (400, 391, 33), (392, 6, 17), (8, 13, 16), (16, 7, 1040)])
  func partialTilesAgreeWithThePlainLoops(width: Int, length: Int, inner: Int) throws {
    let llama = RandomLlama(
      layers: 1, width: width, heads: 2, keyHeads: 1, inner: inner, vocabulary: 37, seed: UInt64(width))
    let model = llama.model()
    let windows = llama.windows(1, length: min(length, 40))
    let final = try ForwardPass(source: model).run(windows: windows, scored: 0..<windows[0].count)
    let expected = windows.flatMap { llama.plainLogits(model, $0) }.flatMap { $0 }
    #expect(relativeDifference(try allLogits(final), expected) < LlamaTests.tolerance)
  }

  /// More queries than a batch, more keys than a sum has terms, and heads narrower than a tile.
  @Test(arguments: [(24, 2, 401), (66, 3, 130)])
  func longWindowsAgreeWithThePlainLoops(width: Int, heads: Int, length: Int) throws {
    let llama = RandomLlama(width: width, heads: heads, keyHeads: 1, inner: 20, vocabulary: 37, seed: 5)
    let model = llama.model()
    let window = llama.windows(1, length: length)[0]
    let scored = length / 2 + 1..<length
    let logits = try allLogits(ForwardPass(source: model).run(windows: [window], scored: scored))
    let expected = llama.plainLogits(model, window)[scored].flatMap { $0 }
    #expect(relativeDifference(logits, expected) < LlamaTests.tolerance)
  }

  /// A row of a product has the same bits as a product of this row alone.
  @Test func aTokensBitsDoNotDependOnItsNeighbours() throws {
    let llama = RandomLlama(width: 64, inner: 100)
    let model = llama.model()
    let pass = try ForwardPass(source: model)
    let windows = llama.windows(500, length: 1)
    let together = try allLogits(pass.run(windows: windows, scored: 0..<1))
    for index in [0, 1, 5, 6, 251, 252, 498, 499] {
      let alone = try allLogits(pass.run(windows: [windows[index]], scored: 0..<1))
      #expect(Array(together[index * llama.vocabulary..<(index + 1) * llama.vocabulary]) == alone)
    }
  }
}
