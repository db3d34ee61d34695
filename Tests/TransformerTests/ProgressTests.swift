import GGUF
import Tensors
import TestSupport
import Testing
import Transformer

@Suite struct ProgressTests {
  private let llama = RandomLlama(layers: 3)

  @Test func aPassReportsItsFractionAndItsLayers() throws {
    let recorder = RunRecorder()
    _ = try ForwardPass(source: llama.model()).run(
      windows: llama.windows(2, length: 9), scored: 0..<9, progress: recorder)
    #expect(recorder.steps == [0, 1, 2, 3])
    #expect(recorder.heard.allSatisfy { $0.stepCount == 3 })
    #expect(recorder.isOrdered)
    #expect(abs((recorder.heard.last?.fraction ?? 0) - 1) < 1e-9)
  }

  /// An error of the observer ends the run immediately, and the pass can run again.
  @Test(arguments: [1, 2, 7, 20]) func anObserverStopsAPass(call: Int) throws {
    let pass = try ForwardPass(source: llama.model())
    let windows = llama.windows(2, length: 9)
    let recorder = RunRecorder { if $0.heard.count == call { throw StoppedByTest() } }
    #expect(throws: StoppedByTest.self) { try pass.run(windows: windows, scored: 0..<9, progress: recorder) }
    #expect(recorder.heard.count == call)
    let again = try allLogits(pass.run(windows: windows, scored: 0..<9))
    #expect(try again == allLogits(ForwardPass(source: llama.model()).run(windows: windows, scored: 0..<9)))
  }

  @Test func aPartAdvancesByItsShareOfTheWhole() throws {
    let recorder = RunRecorder()
    let part = PartObserver(of: recorder, from: 0.5, share: 0.25)
    try part.advance(RunProgress(fraction: 0.4, step: 2, stepCount: 5, detail: "x"))
    try part.pause()
    #expect(recorder.heard == [RunProgress(fraction: 0.6, step: 2, stepCount: 5, detail: "x")])
    #expect(recorder.pauses == 1)
  }
}
