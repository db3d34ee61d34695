import Foundation
import GGUF
import Tensors
import TestSupport
import Testing
import Transformer

func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }
func cosine(_ x: Double) -> Double { cos(x) }
func sine(_ x: Double) -> Double { sin(x) }
func exponential(_ x: Double) -> Double { exp(x) }

/// Logits of all scored positions, [rows, vocabulary].
func allLogits(_ final: FinalStates, tile: Int? = nil) throws -> [Float] {
  let vocabulary = final.vocabularyCount
  var result = [Float](repeating: 0, count: final.rowCount * vocabulary)
  let step = tile ?? vocabulary
  for start in stride(from: 0, to: vocabulary, by: step) {
    let range = start..<min(vocabulary, start + step)
    var values = [Float](repeating: 0, count: final.rowCount * range.count)
    var span = values.mutableSpan
    try final.logits(rows: 0..<final.rowCount, vocabulary: range, into: &span)
    for row in 0..<final.rowCount {
      for (offset, id) in range.enumerated() { result[row * vocabulary + id] = values[row * range.count + offset] }
    }
  }
  return result
}

/// The largest difference, relative to the root mean square of the expected values.
func relativeDifference(_ actual: [Float], _ expected: [Double]) -> Double {
  precondition(actual.count == expected.count)
  let scale = (expected.reduce(0) { $0 + $1 * $1 } / Double(expected.count)).squareRoot()
  return zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
}

@Suite(.serialized) struct LlamaTests {
  /// For single precision against double precision, through two layers.
  static let tolerance = 1e-5

  @Test(arguments: [4, 2, 1])
  func agreesWithThePlainLoops(keyHeads: Int) throws {
    let llama = RandomLlama(keyHeads: keyHeads)
    let model = llama.model()
    let windows = llama.windows(3, length: 11)
    let final = try ForwardPass(source: model).run(windows: windows, scored: 0..<11)
    let expected = windows.flatMap { llama.plainLogits(model, $0) }.flatMap { $0 }
    #expect(relativeDifference(try allLogits(final), expected) < Self.tolerance)
    #expect(relativeDifference(try allLogits(final, tile: 7), expected) < Self.tolerance)
  }

  @Test func positionsThatAreNotScoredChangeNothing() throws {
    let llama = RandomLlama()
    let model = llama.model()
    let windows = llama.windows(2, length: 10)
    let pass = try ForwardPass(source: model)
    let some = try allLogits(pass.run(windows: windows, scored: 5..<9))
    let expected = windows.flatMap { llama.plainLogits(model, $0)[5..<9] }.flatMap { $0 }
    #expect(relativeDifference(some, expected) < Self.tolerance)
  }

  @Test func resultsDoNotDependOnThreads() throws {
    let llama = RandomLlama(width: 64, inner: 600, vocabulary: 300)
    let model = llama.model()
    let windows = llama.windows(9, length: 130)
    let results = try withFixedThreads {
      try [1, 2, 5].map { threads in
        Threads.count = threads
        return try allLogits(ForwardPass(source: model).run(windows: windows, scored: 60..<129))
      }
    }
    #expect(results[0] == results[1] && results[0] == results[2])
  }

  @Test func steppingIsTheSameAsRunning() throws {
    let llama = RandomLlama()
    let model = llama.model()
    let windows = llama.windows(2, length: 8)
    let pass = try ForwardPass(source: model)
    let whole = try allLogits(pass.run(windows: windows, scored: 0..<8))
    var states = try pass.embed(windows)
    try pass.layer(0, &states)
    var probe = states
    try pass.layer(1, &probe, source: RandomLlama(seed: 7).model())
    try pass.layer(1, &states)
    #expect(try allLogits(pass.finish(states, scored: 0..<8)) == whole)
    #expect(try allLogits(pass.finish(probe, scored: 0..<8)) != whole)
  }

  @Test func everyWeightIsReadOnce() throws {
    let llama = RandomLlama()
    let model = llama.model()
    _ = try allLogits(ForwardPass(source: model).run(windows: llama.windows(20, length: 16), scored: 8..<15), tile: 9)
    let reads = model.rowReads.withLock { $0 }
    for tensor in model.tensors where tensor.name != "token_embd.weight" {
      #expect(reads[tensor.name] == tensor.shape.rows, "\(tensor.name)")
    }
  }
}
