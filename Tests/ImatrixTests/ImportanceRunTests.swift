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

  /// An interrupted run keeps the same states as an uninterrupted one, also those that were removed since.
  @Test func aResumedRunKeepsAllStates() throws {
    let directory = try TemporaryDirectory()
    let pass = try ForwardPass(source: model())
    func run(_ folder: String, _ range: Range<Int>) -> ImportanceRun {
      var run = ImportanceRun(pass: pass, windows: Array(windows[range]), datasets: [])
      run.kept = (
        KeptStates(folder: directory.path(folder), model: "m", version: "1", windows: windows, by: pass),
        KeptStates.Keeping(
          layers: [1, 2], windows: range, origin: KeptStates.Origin(arguments: ["a", "b"], part: nil))
      )
      return run
    }
    func contents(_ folder: String) throws -> [String: Data] {
      let url = directory.url.appending(path: folder)
      return try Dictionary(
        uniqueKeysWithValues: FileManager.default.contentsOfDirectory(atPath: url.path).map {
          ($0, try Data(contentsOf: url.appending(path: $0)))
        })
    }
    _ = try run("whole", windows.indices).run()
    for removed in [nil, 1, 2] {
      let folder = "resumed \(removed ?? 0)"
      var interrupted = run(folder, windows.indices)
      interrupted.snapshots = try snapshots(directory)
      #expect(throws: Paused.self) {
        try interrupted.run(progress: RunRecorder(onPause: { if $0.pauses == 2 { throw StoppedByTest() } }))
      }
      if let removed {
        try FileManager.default.removeItem(
          at: directory.url.appending(path: "\(folder)/layer-\(removed).windows-0-\(windows.count).gguf"))
      }
      interrupted.snapshots = nil
      interrupted.snapshots = try snapshots(directory)
      let recorder = RunRecorder()
      _ = try interrupted.run(progress: recorder)
      #expect(recorder.steps.first == (removed == nil ? 2 : 0))
      #expect(try contents(folder) == contents("whole"))
    }
    // States of overlapping windows, as by runs in different numbers of parts, are those of the whole text.
    for range in [0..<1, 0..<windows.count - 1, 1..<windows.count] { _ = try run("parts", range).run() }
    let parts = KeptStates(folder: directory.path("parts"), model: "m", version: "1", windows: windows, by: pass)
    let plan = try pass.plan(windows: windows.count, length: windows[0].count)
    let resumed = try pass.run(
      windows: windows, scored: 0..<4, resuming: try parts.states(before: 2, by: pass, plan))
    let rows = 0..<windows.count * 4
    var (ours, expected) = ([Float](), [Float]())
    for (final, isOurs) in [(resumed, true), (try pass.run(windows: windows, scored: 0..<4), false)] {
      var logits = [Float](repeating: 0, count: rows.count * final.vocabularyCount)
      var span = logits.mutableSpan
      try final.logits(rows: rows, vocabulary: 0..<final.vocabularyCount, into: &span)
      if isOurs { ours = logits } else { expected = logits }
    }
    #expect(ours == expected && ours.contains { $0 != 0 })
    // A file of another layer under this one's name.
    let name = directory.path("parts/layer-1.windows-0-1.gguf")
    try FileManager.default.removeItem(atPath: name)
    try FileManager.default.copyItem(atPath: directory.path("parts/layer-2.windows-0-1.gguf"), toPath: name)
    try FileManager.default.removeItem(atPath: directory.path("parts/layer-1.windows-0-\(windows.count - 1).gguf"))
    #expect {
      try parts.check(before: 1, by: pass)
    } throws: {
      if case KeptStatesError.damaged(name, _, _) = $0 { true } else { false }
    }
    #expect(throws: KeptStatesError.noLayer(folder: directory.path("parts"), layer: 3, kept: [1, 2])) {
      try parts.check(before: 3, by: pass)
    }
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
