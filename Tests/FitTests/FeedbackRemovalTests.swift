import Blocks
import Files
import Fit
import Foundation
import GGUF
import Quantize
import Synchronization
import Tensors
import TestSupport
import Testing
import Transformer

/// Error feedback that removes files of the model while it writes.
@Suite(.serialized) struct FeedbackRemovalTests {
  private func run(_ source: any ModelSource, _ windows: [[Int32]]) throws -> FeedbackRun {
    let types = source.tensors.map { tensor -> GGMLType in
      tensor.name.contains("_exps") || tensor.isQuantizable && !tensor.name.contains("token_embd") ? .q3_K : tensor.type
    }
    let plan = RewritePlan(source: source, types: types, metadata: source.metadata)
    var run = try FeedbackRun(plan, windows: windows, forward: ForwardOptions())
    run.effort = .feedback
    // A snapshot after every layer, and with it the removal of the layers before.
    run.snapshotSeconds = 0
    return run
  }

  private func options(_ source: DividedModel) -> RewriteOptions {
    var options = RewriteOptions()
    options.identity = RunIdentity([RunIdentity.Field("model", "m")])
    options.removal = SourceRemoval(of: source, outputs: 1)
    return options
  }

  /// A killed run leaves this at any moment after it removed a file: the next run reads nothing of that file.
  @Test(arguments: [0, 4]) func aRunGoesOnWithoutTheRemovedFiles(experts: Int) throws {
    let model = FeedbackModel(layers: 3, experts: experts).model()
    let windows = FeedbackModel().windows(20)
    let expected = try TemporaryDirectory()
    _ = try run(model, windows).write(to: expected.path("out.gguf"), options: RewriteOptions())
    let bytes = try Data(contentsOf: expected.url.appending(path: "out.gguf"))

    var left: [(removed: Set<String>, directory: TemporaryDirectory)] = []
    let directory = try TemporaryDirectory()
    let source = DividedModel(model)
    _ = try run(source, windows).write(
      to: directory.path("out.gguf"), options: options(source),
      progress: RunRecorder(onPause: {
        // Every third moment, and the one after each removal.
        guard source.removedFiles.count > (left.last?.removed.count ?? 0) || $0.pauses % 3 == 0 else { return }
        guard !source.removedFiles.isEmpty else { return }
        left.append((source.removedFiles, try copy(of: directory)))
      }))
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == bytes)
    #expect(source.removedFiles == Set(source.files))
    // Layers are removed one after the other.
    #expect(Set(left.map(\.removed.count)).isSuperset(of: [1, 2]), "\(left.map(\.removed.count))")

    for (number, (removed, directory)) in left.enumerated() {
      let rest = DividedModel(model, removed: removed)
      let report = try run(rest, windows).write(to: directory.path("out.gguf"), options: options(rest))
      #expect(report.rewrite.resumedTensors > 0)
      #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == bytes, "moment \(number)")
      #expect(directory.contents == ["out.gguf"])
      #expect(rest.removedFiles == Set(rest.files))
    }
  }

  /// A folder's files as they are. The journal comes first: what it names is then in the other files.
  private func copy(of directory: TemporaryDirectory) throws -> TemporaryDirectory {
    let result = try TemporaryDirectory()
    let names = directory.contents
    for name in names.filter({ $0.hasSuffix(".journal") }) + names.filter({ !$0.hasSuffix(".journal") }) {
      try FileManager.default.copyItem(atPath: directory.path(name), toPath: result.path(name))
    }
    return result
  }
}

/// A model with a file for each layer, and one for the other tensors.
private final class DividedModel: DividedSource {
  private let base: MemoryModel
  private let removed: Mutex<Set<String>>

  init(_ base: MemoryModel, removed: Set<String> = []) {
    self.base = base
    self.removed = Mutex(removed)
  }

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }

  private func file(_ tensor: TensorInfo) -> String { tensor.layer.map { "layer \($0)" } ?? "others" }
  var files: [String] { Set(tensors.map(file)).sorted() }
  var removedFiles: Set<String> { removed.withLock { $0 } }
  func files(of tensor: TensorInfo) -> Set<String> { [file(tensor)] }
  func excludeOthers() {}
  func remove(_ file: String) { removed.withLock { _ = $0.insert(file) } }
  func removeRemaining() {}

  private func check(_ tensor: TensorInfo) throws {
    if removed.withLock({ $0.contains(file(tensor)) }) { throw FileError(.removed, path: file(tensor), code: 0) }
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try check(tensor)
    try base.readRows(of: tensor, rows: rows, into: &output)
  }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try check(tensor)
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }
}
