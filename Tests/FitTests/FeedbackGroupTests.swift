import Blocks
import Files
import Fit
import Foundation
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing
import Transformer

/// Several files with error feedback in one pass.
@Suite(.serialized) struct FeedbackGroupTests {
  private static let types: [GGMLType] = [.q3_K, .q4_0, .q8_0]

  private func run(
    _ source: MemoryModel, as type: GGMLType, sections: Int = 1, windows: [[Int32]] = FeedbackModel().windows(20),
    memory: Int? = nil
  ) throws -> FeedbackRun {
    // A rounded embedding too: the second stream begins with it.
    let types = source.tensors.map { tensor -> GGMLType in
      tensor.name.contains("_exps") || tensor.isQuantizable ? type : tensor.type
    }
    let plan = RewritePlan(source: source, types: types, metadata: source.metadata)
    var run = try FeedbackRun(plan, windows: windows, forward: ForwardOptions(memory: memory))
    run.effort = .feedback
    run.sections = sections
    run.snapshotSeconds = 0
    // Importance of the pass, of which the snapshots have the sums.
    if type == .q4_0 { run.dataset = ["text"] }
    return run
  }

  private func group(_ source: MemoryModel, _ directory: TemporaryDirectory, sections: Int) throws -> FeedbackGroup {
    var options = RewriteOptions()
    options.identity = RunIdentity([RunIdentity.Field("model", "m")])
    return FeedbackGroup(
      try Self.types.map {
        FeedbackGroup.Member(
          try run(source, as: $0, sections: sections), path: directory.path("\($0).gguf"), options: options)
      })
  }

  private func data(_ type: GGMLType, in directory: TemporaryDirectory) throws -> Data {
    try Data(contentsOf: directory.url.appending(path: "\(type).gguf"))
  }

  /// Files, and importance, are those of single runs; the model's rows are read by one pass.
  @Test(arguments: [(0, 1), (0, 2), (4, 1)]) func filesEqualThoseOfSingleRuns(experts: Int, sections: Int) throws {
    let source = FeedbackModel(layers: 3, experts: experts).model()
    let (single, directory) = (try TemporaryDirectory(), try TemporaryDirectory())
    var expected: FeedbackReport?
    for type in Self.types {
      let report = try run(source, as: type, sections: sections).write(
        to: single.path("\(type).gguf"), options: RewriteOptions())
      if type == .q4_0 { expected = report }
    }
    let before = source.rowReads.withLock { $0["blk.1.attn_norm.weight"] ?? 0 }
    let reports = try group(source, directory, sections: sections).write()
    let inGroup = source.rowReads.withLock { $0["blk.1.attn_norm.weight"] ?? 0 } - before
    for type in Self.types { #expect(try data(type, in: directory) == data(type, in: single), "\(type)") }
    #expect(directory.contents == single.contents)
    #expect(reports.map(\.importance?.digest) == [nil, expected?.importance?.digest, nil])
    #expect(reports[1].importance != nil && reports.map(\.tensors) == reports.map { _ in expected?.tensors })
    #expect(inGroup < before)
  }

  /// Interrupted at several moments, and with one file's tensor damaged in between, all files go on.
  @Test(arguments: [(0, 1), (0, 2), (4, 1)]) func interruptedRunsGoOnWithAllFiles(experts: Int, sections: Int) throws {
    let source = FeedbackModel(layers: 3, experts: experts).model()
    let whole = try TemporaryDirectory()
    _ = try group(source, whole, sections: sections).write()
    for pause in [8, 40, 61] {
      let directory = try TemporaryDirectory()
      #expect(throws: Paused.self) {
        _ = try group(source, directory, sections: sections).write(
          progress: RunRecorder(onPause: { if $0.pauses == pause { throw StoppedByTest() } }))
      }
      if pause == 40, let part = directory.contents.first(where: { $0.hasSuffix(".part") }) {
        let url = directory.url.appending(path: part)
        var data = try Data(contentsOf: url)
        data[data.count / 3] ^= 1
        try data.write(to: url)
      }
      let recorder = RunRecorder()
      let reports = try group(source, directory, sections: sections).write(progress: recorder)
      #expect(reports.contains { $0.rewrite.resumedTensors > 0 } && recorder.isOrdered)
      for type in Self.types { #expect(try data(type, in: directory) == data(type, in: whole), "\(type), \(pause)") }
      #expect(directory.contents == whole.contents)
    }
  }

  /// Streams take memory: few files share a pass where there is little. In one stream, files take none.
  @Test func memoryLimitsTheFilesOfAPass() throws {
    let windows = FeedbackModel().windows(2000)
    func count(_ memory: Int, experts: Int = 0) throws -> Int {
      try FeedbackGroup.maximumCount(
        run(FeedbackModel(experts: experts).model(), as: .q4_0, windows: windows, memory: memory))
    }
    let (small, large) = (try count(600 << 20), try count(1200 << 20))
    #expect(try count(200 << 20) == 1)
    #expect(small > 1 && large > small && large < 60, "\(small), \(large)")
    #expect(try count(200 << 20, experts: 4) == .max)
  }

  @Test func runsOfOtherTextsOrSectionsDoNotShare() throws {
    let source = FeedbackModel().model()
    let one = try run(source, as: .q4_0)
    #expect(FeedbackGroup.canShare(one, try run(source, as: .q8_0)))
    #expect(!FeedbackGroup.canShare(one, try run(source, as: .q4_0, sections: 2)))
    #expect(!FeedbackGroup.canShare(one, try run(source, as: .q4_0, windows: FeedbackModel().windows(19))))
    #expect(FeedbackGroup.canShare(one, one))
  }
}
