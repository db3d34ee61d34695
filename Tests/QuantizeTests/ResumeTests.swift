import Files
import Foundation
import GGUF
import Quantize
import Synchronization
import Tensors
import TestSupport
import Testing

/// Interrupted runs are resumed, and give the bytes of an uninterrupted run.
@Suite struct ResumeTests {
  private let directory: TemporaryDirectory
  private let model: MemoryModel

  init() throws {
    directory = try TemporaryDirectory()
    var random = SplitMix(seed: 7)
    model = MemoryModel(
      metadata: ["general.architecture": .string("llama")],
      tensors: (0..<6).map { index in
        ("blk.\(index).ffn_up.weight", [256, 24], (0..<256 * 24).map { _ in random.normal() })
      })
  }

  private func plan(_ source: any ModelSource, _ type: GGMLType = .q4_K) -> RewritePlan {
    RewritePlan(
      source: source, types: source.tensors.map { _ in type }, metadata: model.metadata)
  }

  private func options(version: String = "1", source: String = "s", importance: String = "i") -> RewriteOptions {
    var options = RewriteOptions()
    options.identity = RunIdentity(version: version, source: source, importance: importance, recipe: "r")
    return options
  }

  /// The file of an uninterrupted run.
  private func uninterrupted() throws -> Data {
    _ = try Rewriter(plan(model)).write(to: directory.path("whole.gguf"), options: RewriteOptions())
    defer { try? FileManager.default.removeItem(atPath: directory.path("whole.gguf")) }
    return try Data(contentsOf: directory.url.appending(path: "whole.gguf"))
  }

  private func stop(after tensors: Int) throws {
    #expect(throws: Paused.self) {
      _ = try Rewriter(plan(model)).write(
        to: directory.path("out.gguf"), options: options(),
        progress: RunRecorder(onPause: { if $0.pauses == tensors { throw StoppedByTest() } }))
    }
  }

  @Test func pausedRunIsResumed() throws {
    let whole = try uninterrupted()
    try stop(after: 4)
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])
    let report = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options())
    #expect(report.resumedTensors == 4)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
    #expect(directory.contents == ["out.gguf"])
  }

  /// Data that the disk lost or damaged is written again, although the journal lists it.
  @Test func damagedDataIsWrittenAgain() throws {
    let whole = try uninterrupted()
    try stop(after: 4)
    let part = directory.url.appending(path: "out.gguf.part")
    var data = try Data(contentsOf: part)
    data[plan(model).layout.offsets[1] + 100] ^= 1
    try data.write(to: part)
    let report = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options())
    #expect(report.resumedTensors == 3)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
  }

  @Test func truncatedLineIsIgnored() throws {
    let whole = try uninterrupted()
    try stop(after: 4)
    let journal = directory.url.appending(path: "out.gguf.journal")
    try Data(contentsOf: journal).dropLast(10).write(to: journal)
    let report = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options())
    #expect(report.resumedTensors == 3)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
  }

  @Test(arguments: ["version", "source", "importance"]) func anotherRunIsRefused(_ field: String) throws {
    try stop(after: 2)
    let other =
      switch field {
      case "version": options(version: "2")
      case "source": options(source: "t")
      default: options(importance: "j")
      }
    let error = try #require(throws: OtherRun.self) {
      _ = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: other)
    }
    #expect(error.description.contains(field))
    // The unfinished run is unchanged.
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])
    let report = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options())
    #expect(report.resumedTensors == 2)
  }

  @Test func restartDiscardsTheEarlierRun() throws {
    try stop(after: 2)
    var anew = options(version: "2")
    anew.restart = true
    let report = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: anew)
    #expect(report.resumedTensors == 0)
    #expect(directory.contents == ["out.gguf"])
  }

  /// Every read of the source fails once. Each run keeps its progress.
  @Test func failingDiskNamesFileAndOffset() throws {
    let whole = try uninterrupted()
    var faults = 0
    for read in 1... {
      let failing = FailingModel(base: model, failingRead: read)
      do {
        _ = try Rewriter(plan(failing)).write(to: directory.path("out.gguf"), options: options())
        break
      } catch let error as FileError {
        #expect(error.code == EIO && error.path == "disk" && error.offset == 4096)
        faults += 1
      }
    }
    #expect(faults >= 3)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
    #expect(directory.contents == ["out.gguf"])
  }

  /// The same for the reads of a file: each error names the file and the offset.
  @Test func failingReadsOfAFileAreNamed() throws {
    let whole = try uninterrupted()
    let path = directory.path("model.gguf")
    try model.write(to: path)
    let output = directory.path("out.gguf")
    let outcome = try FailingDisk.everyRead(of: path) {
      #expect(!FileManager.default.fileExists(atPath: output))
      return try Rewriter(plan(try GGUFFile(path: path))).write(to: output, options: options())
    }
    #expect(outcome.faults > 5)
    #expect(
      outcome.errors.allSatisfy { $0.operation == .read && $0.path == path && $0.offset != nil && $0.code == EIO })
    #expect(outcome.result.resumedTensors >= 3)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
    #expect(directory.contents == ["model.gguf", "out.gguf"])
  }

  @Test func twoRunsOfOneOutputAreRefused() throws {
    _ = try Rewriter(plan(model)).write(
      to: directory.path("out.gguf"), options: options(),
      progress: RunRecorder(onPause: { _ in
        let error = try #require(throws: FileError.self) {
          _ = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options())
        }
        #expect(error.code == EBUSY)
      }))
    #expect(directory.contents == ["out.gguf"])
  }

  @Test func checksumsAreOfTheData() throws {
    var options = options()
    options.checksums = true
    _ = try Rewriter(plan(model)).write(to: directory.path("out.gguf"), options: options)
    let sums = try TensorChecksums(path: directory.path("out.gguf.sha256"))
    #expect(sums.count == 6)
    let file = try GGUFFile(path: directory.path("out.gguf"))
    #expect(try Verification(file, expected: sums).run() == sums)
  }
}

/// A model on a disk that fails at one read.
private final class FailingModel: ModelSource {
  let base: MemoryModel
  let failingRead: Int
  private let reads = Atomic<Int>(0)

  init(base: MemoryModel, failingRead: Int) {
    self.base = base
    self.failingRead = failingRead
  }

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }

  private func fail() throws {
    if reads.add(1, ordering: .relaxed).newValue == failingRead {
      throw FileError(.read, path: "disk", offset: 4096, code: EIO)
    }
  }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try fail()
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try fail()
    try base.readRows(of: tensor, rows: rows, into: &output)
  }
}
