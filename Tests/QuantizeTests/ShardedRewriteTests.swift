import Files
import Foundation
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// Rewriting into several files.
@Suite struct ShardedRewriteTests {
  private let directory: TemporaryDirectory
  private let model: MemoryModel

  init() throws {
    directory = try TemporaryDirectory()
    var random = SplitMix(seed: 8)
    model = MemoryModel(
      metadata: ["general.architecture": .string("llama")],
      tensors: (0..<6).map { index in
        ("blk.\(index).ffn_up.weight", [64, 9], (0..<64 * 9).map { _ in random.normal() })
      })
  }

  private func plan() throws -> RewritePlan {
    var plan = RewritePlan(source: model, types: model.tensors.map { _ in .q8_0 }, metadata: model.metadata)
    try plan.split(by: .tensors(2))
    return plan
  }

  private func names(_ stem: String) -> [String] { (1...3).map { "\(stem)-0000\($0)-of-00003.gguf" } }

  private func bytes(_ name: String) throws -> Data { try Data(contentsOf: directory.url.appending(path: name)) }

  @Test func aPausedRunIsResumed() throws {
    let plan = try plan()
    let report = try Rewriter(plan).write(to: directory.path("whole.gguf"), options: RewriteOptions())
    #expect(directory.contents == names("whole"))
    #expect(try report.bytes == names("whole").reduce(0) { try $0 + bytes($1).count })
    var options = RewriteOptions()
    options.identity = RunIdentity(version: "1", source: "s", importance: "i", recipe: plan.shards.digest)
    #expect(throws: Paused.self) {
      _ = try Rewriter(plan).write(
        to: directory.path("out.gguf"), options: options,
        progress: RunRecorder(onPause: { if $0.pauses == 4 { throw StoppedByTest() } }))
    }
    #expect(directory.contents == names("out").map { $0 + ".part" } + ["out.gguf.journal"] + names("whole"))
    let second = try Rewriter(plan).write(to: directory.path("out.gguf"), options: options)
    #expect(second.resumedTensors == 4)
    for (out, whole) in zip(names("out"), names("whole")) { #expect(try bytes(out) == bytes(whole)) }
    #expect(directory.contents == names("out") + names("whole"))
  }

  /// A run with other shards is a different run, because offsets differ.
  @Test func theLimitIsPartOfTheIdentity() throws {
    var other = try plan()
    try other.split(by: .tensors(3))
    #expect(try other.shards.digest != plan().shards.digest)
  }

  @Test func anExistingShardIsNotReplaced() throws {
    try Data("precious".utf8).write(to: directory.url.appending(path: names("out")[1]))
    var options = RewriteOptions()
    options.identity = RunIdentity(version: "1", source: "s", importance: "i", recipe: "r")
    for options in [options, RewriteOptions()] {
      #expect(throws: FileError(.create, path: directory.path(names("out")[1]), code: EEXIST)) {
        _ = try Rewriter(plan()).write(to: directory.path("out.gguf"), options: options)
      }
      #expect(directory.contents == [names("out")[1]])
    }
  }
}
