import Files
import Foundation
import GGUF
import Imatrix
import Tensors
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct ImportanceRunTests {
  private func model(layers: Int = 3) -> MemoryModel { RoutedLlama.model(layers: layers) }
  private let windows = RoutedLlama.windows

  private func snapshots(_ directory: TemporaryDirectory) throws -> ImportanceRun.Snapshots {
    let output = directory.path("out.gguf")
    let identity = RunIdentity([RunIdentity.Field("model", "m")])
    return ImportanceRun.Snapshots(
      journal: try RunJournal(output: output, identity: identity, restart: false), path: output + ".snapshot",
      seconds: 0)
  }

  @Test func aResumedRunGivesTheBitsOfAnUninterruptedOne() throws {
    let directory = try TemporaryDirectory()
    let pass = try ForwardPass(source: model())
    var run = ImportanceRun(pass: pass, windows: windows, datasets: ["a.txt"])
    let whole = try run.run()
    run.snapshots = try snapshots(directory)
    #expect(throws: Paused.self) {
      try run.run(progress: RunRecorder(onPause: { if $0.pauses == 2 { throw StoppedByTest() } }))
    }
    #expect(
      directory.contents == ["out.gguf.journal", "out.gguf.snapshot-2.states.gguf", "out.gguf.snapshot-2.sums.gguf"])
    run.snapshots = nil
    run.snapshots = try snapshots(directory)
    let recorder = RunRecorder()
    let resumed = try run.run(progress: recorder)
    #expect(resumed == whole)
    #expect(recorder.steps == [2, 3])
    #expect(abs((recorder.heard.first?.fraction ?? 0) - 2.0 / 3) < 1e-9)
  }

  /// States and sums of other inputs are not used, even if the journal lists them.
  @Test func aSnapshotOfOtherTextIsNotUsed() throws {
    let directory = try TemporaryDirectory()
    let pass = try ForwardPass(source: model())
    var run = ImportanceRun(pass: pass, windows: windows, datasets: [])
    run.snapshots = try snapshots(directory)
    #expect(throws: StoppedByTest.self) {
      try run.run(progress: RunRecorder { if $0.heard.last?.step == 2 { throw StoppedByTest() } })
    }
    run.snapshots = nil
    var other = ImportanceRun(pass: pass, windows: windows.reversed(), datasets: [])
    other.snapshots = try snapshots(directory)
    let recorder = RunRecorder()
    _ = try other.run(progress: recorder)
    #expect(recorder.steps == [0, 1, 2, 3])
  }

  /// Every read of the model fails once. Each error names the file and the offset.
  @Test func failingDiskNamesFileAndOffset() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("model.gguf")
    try model().write(to: path)
    let whole = try ImportanceRun(
      pass: try ForwardPass(source: try GGUFFile(path: path)), windows: windows, datasets: []
    ).run()
    let outcome = try FailingDisk.everyRead(of: path) { () throws -> ImportanceMatrix in
      var run = ImportanceRun(
        pass: try ForwardPass(source: try GGUFFile(path: path)), windows: windows, datasets: [])
      run.snapshots = try snapshots(directory)
      return try run.run()
    }
    #expect(outcome.result == whole)
    #expect(outcome.faults > 20)
    #expect(
      outcome.errors.allSatisfy { $0.operation == .read && $0.path == path && $0.offset != nil && $0.code == EIO })
  }

  @Test func expertsCountTheirTokens() throws {
    let pass = try ForwardPass(source: model())
    let tokens = Float(windows.count * windows[0].count)
    let routed = try ImportanceRun(pass: pass, windows: windows, datasets: []).run()
    let gate = try #require(routed.entries["blk.1.ffn_gate_exps.weight"])
    #expect(gate.counts.count == 4 && gate.counts.reduce(0, +) == 2 * tokens)
    #expect(routed.entries["blk.1.ffn_down_exps.weight"]?.counts == gate.counts)
    #expect(routed.entries["blk.1.ffn_gate_inp.weight"]?.counts == [tokens])
    var every = ImportanceRun(pass: pass, windows: windows, datasets: [])
    every.allExperts = true
    let all = try every.run()
    #expect(all.entries["blk.1.ffn_down_exps.weight"]?.counts == [tokens, tokens, tokens, tokens])
    // The model's output does not change: the inputs of attention in the last layer are the same.
    #expect(all.entries["blk.2.attn_q.weight"] == routed.entries["blk.2.attn_q.weight"])
  }
}
