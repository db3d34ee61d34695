import Files
import Foundation
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// Several files of one model, written in one reading.
@Suite struct RewriteGroupTests {
  private let directory: TemporaryDirectory
  private let model: MemoryModel
  private static let types: [GGMLType] = [.q4_K, .q8_0, .f32, .f16, .q4_K]

  init() throws {
    directory = try TemporaryDirectory()
    var random = SplitMix(seed: 9)
    model = MemoryModel(
      metadata: ["general.architecture": .string("llama")],
      tensors: (0..<5).map { index in
        ("blk.\(index).ffn_up.weight", [256, 24], (0..<256 * 24).map { _ in random.normal() })
      })
  }

  /// Files of different types, and some tensors of one type in all of them.
  private func plan(_ index: Int, of source: any ModelSource) -> RewritePlan {
    let types = source.tensors.indices.map { $0 == 1 ? GGMLType.q6_K : Self.types[index] }
    return RewritePlan(source: source, types: types, metadata: model.metadata)
  }

  private func options(_ index: Int) -> RewriteOptions {
    var options = RewriteOptions()
    options.identity = RunIdentity(version: "1", source: "s", importance: "\(index)", recipe: "r")
    return options
  }

  /// Importance for the last file only: it has the types of the first.
  private func importance(_ index: Int) -> Importance? {
    guard index == Self.types.count - 1 else { return nil }
    return { tensor in (0..<tensor.shape.columns).map { Float(1 + $0 % 7) } }
  }

  private func members(_ source: any ModelSource) -> [RewriteGroup.Member] {
    Self.types.indices.map {
      RewriteGroup.Member(
        plan($0, of: source), path: directory.path("\($0).gguf"), options: options($0), importance: importance($0),
        importanceKey: "\($0)")
    }
  }

  private func single(_ index: Int) throws -> Data {
    _ = try Rewriter(plan(index, of: model), importance: importance(index)).write(
      to: directory.path("single.gguf"), options: RewriteOptions(overwrite: true))
    defer { try? FileManager.default.removeItem(atPath: directory.path("single.gguf")) }
    return try Data(contentsOf: directory.url.appending(path: "single.gguf"))
  }

  private func data(_ index: Int) throws -> Data {
    try Data(contentsOf: directory.url.appending(path: "\(index).gguf"))
  }

  private var names: [String] { Self.types.indices.map { "\($0).gguf" } }

  @Test func filesEqualThoseOfSingleRuns() throws {
    let expected = try Self.types.indices.map(single)
    #expect(Set(expected).count == Self.types.count)
    _ = try RewriteGroup(members(model)).write()
    for (index, data) in expected.enumerated() { #expect(try self.data(index) == data) }
    #expect(directory.contents == names)
  }

  /// The rows that five files need are decoded as often as those of one file.
  @Test func rowsAreReadOnce() throws {
    _ = try Rewriter(plan(0, of: model)).write(to: directory.path("one.gguf"), options: RewriteOptions())
    let one = model.rowReads.withLock { reads in
      defer { reads = [:] }
      return reads
    }
    _ = try RewriteGroup(members(model)).write()
    #expect(one.count == 5)
    #expect(model.rowReads.withLock { $0 } == one)
  }

  @Test(arguments: [1, 3]) func interruptedGroupIsResumed(after tensors: Int) throws {
    let expected = try Self.types.indices.map(single)
    #expect(throws: Paused.self) {
      _ = try RewriteGroup(members(model)).write(
        progress: RunRecorder(onPause: { if $0.pauses == tensors { throw StoppedByTest() } }))
    }
    #expect(directory.contents == names.flatMap { [$0 + ".journal", $0 + ".part"] })
    let reports = try RewriteGroup(members(model)).write()
    #expect(reports.allSatisfy { $0.resumedTensors == tensors })
    for (index, data) in expected.enumerated() { #expect(try self.data(index) == data) }
    #expect(directory.contents == names)
  }

  /// A crash after some files got their names: they are verified and kept.
  @Test func completeFilesAreKept() throws {
    let expected = try Self.types.indices.map(single)
    var kept = options(1)
    kept.keepsJournal = true
    _ = try Rewriter(plan(1, of: model)).write(to: directory.path("1.gguf"), options: kept)
    let identity = FileIdentity(path: directory.path("1.gguf"))
    let reports = try RewriteGroup(members(model)).write()
    #expect(reports.map(\.resumedTensors) == [0, 5, 0, 0, 0])
    #expect(FileIdentity(path: directory.path("1.gguf")) == identity)
    for (index, data) in expected.enumerated() { #expect(try self.data(index) == data) }
    #expect(directory.contents == names)
  }

  /// A file of the same name that is not the earlier run's is not replaced, and nothing else is left.
  @Test func otherFilesAreNotReplaced() throws {
    var kept = options(1)
    kept.keepsJournal = true
    _ = try Rewriter(plan(1, of: model)).write(to: directory.path("1.gguf"), options: kept)
    var damaged = try data(1)
    damaged[damaged.count - 40] ^= 1
    try damaged.write(to: directory.url.appending(path: "1.gguf"))
    let error = try #require(throws: FileError.self) { _ = try RewriteGroup(members(model)).write() }
    #expect(error.code == EEXIST)
    #expect(try data(1) == damaged)
    #expect(!directory.contents.contains("0.gguf"))
  }
}
