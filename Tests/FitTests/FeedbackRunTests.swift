import Blocks
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Quantize
import Tensors
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct FeedbackRunTests {
  private func plan(_ source: MemoryModel, as type: GGMLType = .q3_K) -> RewritePlan {
    let types = source.tensors.map { tensor in
      tensor.name.contains("_exps") || (tensor.isQuantizable && !tensor.name.contains("token_embd"))
        ? type : tensor.type
    }
    return RewritePlan(source: source, types: types, metadata: source.metadata)
  }

  /// A run with the cheapest search: these tests are about inputs and rows, not about the encoder.
  private func run(
    _ source: MemoryModel, _ windows: [[Int32]], memory: Int? = nil, as type: GGMLType = .q3_K,
    isSequential: Bool = true
  ) throws -> FeedbackRun {
    var run = try FeedbackRun(
      plan(source, as: type), windows: windows, forward: ForwardOptions(memory: memory), isSequential: isSequential)
    run.effort = .feedback
    return run
  }

  private func written(_ run: FeedbackRun) throws -> (file: Data, report: FeedbackReport) {
    let directory = try TemporaryDirectory()
    let report = try run.write(to: directory.path("out.gguf"), options: RewriteOptions())
    #expect(directory.contents == ["out.gguf"])
    return (try Data(contentsOf: directory.url.appending(path: "out.gguf")), report)
  }

  private func bytes(of name: String, in file: GGUFFile) throws -> [UInt8] {
    let tensor = try #require(file.tensor(named: name))
    var bytes = [UInt8](repeating: 0, count: try #require(tensor.shape.bytes(as: tensor.type)))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try file.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
    return bytes
  }

  /// Every matrix has the bytes of the encoder in the metric of its input.
  @Test func matricesAreEncodedInTheMetricOfTheirInput() throws {
    let source = FeedbackModel().model()
    let windows = FeedbackModel().windows(64)
    let directory = try TemporaryDirectory()
    let run = try run(source, windows, isSequential: false)
    let report = try run.write(to: directory.path("out.gguf"), options: RewriteOptions())
    #expect(report.tensors == 2 * 7 + 1)
    #expect(report.short.isEmpty && report.shortExperts == 0 && report.unseenExperts == 0)
    let file = try GGUFFile(path: directory.path("out.gguf"))
    var seen = 0
    let collector = GramCollector(tokens: 1024, wantsOutput: true) { input in
      let metric = try FeedbackMetric(gram: input.gram.values.span, columns: input.gram.columns)
      for name in input.tensors {
        let rows = source.values(of: name)
        var expected = [UInt8](repeating: 0, count: try #require(file.tensor(named: name)?.shape.bytes(as: .q3_K)))
        var span = expected.mutableSpan
        var raw = span.mutableBytes
        let importance = input.gram.diagonal.map { $0 / 1024 }
        try encodeRowsInParallel(
          rows.span, columns: input.gram.columns, metric: metric, importance: importance.span, as: .q3_K,
          effort: run.effort, into: &raw)
        #expect(try bytes(of: name, in: file) == expected, "\(name)")
        seen += 1
      }
    }
    _ = try ForwardPass(source: source).run(windows: windows, scored: 0..<0, observer: collector)
    try collector.close()
    #expect(seen == report.tensors)
  }

  @Test(arguments: [0, 4]) func neitherThreadsNorMemoryChangeAByte(experts: Int) throws {
    let source = FeedbackModel(experts: experts).model()
    let windows = FeedbackModel().windows(80)
    try withFixedThreads {
      Threads.count = 2
      let expected = try written(run(source, windows)).file
      #expect(try written(run(source, windows, memory: 96 << 20)).file == expected)
      for threads in [1, 3] {
        Threads.count = threads
        #expect(try written(run(source, windows)).file == expected, "\(threads) threads")
      }
    }
  }

  /// An expert without tokens is encoded like the layer's mean, and counted; the rows of all are numbers.
  @Test(arguments: [GGMLType.q4_K, .iq2_xxs])
  func expertsWithoutTokensAreEncoded(type: GGMLType) throws {
    let source = FeedbackModel(experts: 4).model()
    let directory = try TemporaryDirectory()
    let report = try run(source, FeedbackModel().windows(20), as: type)
      .write(to: directory.path("out.gguf"), options: RewriteOptions())
    // The last expert's three matrices in two layers.
    #expect(report.unseenExperts == 6)
    let file = try GGUFFile(path: directory.path("out.gguf"))
    for tensor in file.tensors where tensor.name.contains("_exps") {
      let values = source.values(of: tensor.name)
      var decoded = [Float](repeating: 0, count: tensor.shape.count)
      var span = decoded.mutableSpan
      try file.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
      let last = 3 * tensor.shape.rowsPerMatrix * tensor.shape.columns
      var (error, square): (Float, Float) = (0, 0)
      for index in last..<values.count {
        error += (values[index] - decoded[index]) * (values[index] - decoded[index])
        square += values[index] * values[index]
      }
      #expect(error < (type == .q4_K ? 0.02 : 0.3) * square, "\(tensor.name)")
    }
  }

  /// Rounding for the inputs behind rounded layers brings the whole model nearer than rounding for the exact inputs.
  @Test func laterLayersMakeUpForEarlierOnes() throws {
    let source = FeedbackModel().model()
    let windows = FeedbackModel().windows(200)
    let pass = try ForwardPass(source: source)
    let exact = try states(pass, windows)
    let errors = try [false, true].map { isSequential in
      let directory = try TemporaryDirectory()
      var run = try run(source, windows, isSequential: isSequential)
      run.effort = .scales
      #expect(run.isSequential == isSequential)
      _ = try run.write(to: directory.path("out.gguf"), options: RewriteOptions())
      let rounded = try states(try ForwardPass(source: try GGUFFile(path: directory.path("out.gguf"))), windows)
      return zip(exact, rounded).reduce(Float(0)) { (sum: Float, pair: (Float, Float)) -> Float in
        sum + (pair.0 - pair.1) * (pair.0 - pair.1)
      }
    }
    #expect(errors[1] < 0.98 * errors[0], "\(errors)")
  }

  /// Logits of the last position of every window.
  private func states(_ pass: ForwardPass, _ windows: [[Int32]]) throws -> [Float] {
    let final = try pass.run(windows: windows, scored: 15..<16)
    var logits = [Float](repeating: 0, count: windows.count * final.vocabularyCount)
    var span = logits.mutableSpan
    try final.logits(rows: 0..<windows.count, vocabulary: 0..<final.vocabularyCount, into: &span)
    return logits
  }

  /// A text of fewer tokens than a quarter of the columns.
  @Test func shortTextIsReported() throws {
    let source = FeedbackModel().model()
    let report = try written(run(source, FeedbackModel().windows(3))).report
    #expect(report.short.contains { $0.tensor.hasSuffix("ffn_down.weight") && $0.tokens == 48 && $0.columns == 512 })
    #expect(report.short.allSatisfy { 4 * $0.tokens < $0.columns })
  }

  @Test(arguments: [0, 4]) func anInterruptedRunContinuesWithTheSameBytes(experts: Int) throws {
    let source = FeedbackModel(layers: 3, experts: experts).model()
    let windows = FeedbackModel().windows(20)
    let expected = try written(run(source, windows)).file
    for pause in [1, 6, 9, 17, 22] {
      let directory = try TemporaryDirectory()
      let path = directory.path("out.gguf")
      var options = RewriteOptions()
      options.identity = RunIdentity([RunIdentity.Field("model", "m")])
      var first = try run(source, windows)
      first.snapshotSeconds = 0
      #expect(throws: Paused.self) {
        try first.write(
          to: path, options: options,
          progress: RunRecorder(onPause: { if $0.pauses == pause { throw StoppedByTest() } }))
      }
      #expect(directory.contents.contains("out.gguf.journal"))
      let report = try run(source, windows).write(to: path, options: options)
      #expect(report.rewrite.resumedTensors > 0)
      #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == expected, "pause \(pause)")
      #expect(directory.contents == ["out.gguf"])
    }
  }

  /// Parts in any order, each interrupted once, give the bytes of one run. Without experts they are sections of layers.
  @Test(arguments: [(0, 1), (0, 4), (0, 12), (4, 1), (4, 9)])
  func partsGiveTheSameBytes(experts: Int, pause: Int) throws {
    let source = FeedbackModel(layers: 4, experts: experts).model()
    let windows = FeedbackModel().windows(20)
    func run(memory: Int? = nil) throws -> FeedbackRun {
      var run = try self.run(source, windows, memory: memory)
      run.sections = 3
      run.snapshotSeconds = 0
      return run
    }
    let expected = try written(run()).file
    if experts == 0 { #expect(try written(self.run(source, windows)).file != expected) }
    let directory = try TemporaryDirectory()
    let path = directory.path("out.gguf")
    var options = RewriteOptions()
    options.identity = RunIdentity([RunIdentity.Field("model", "m")])
    var interrupted = 0
    for number in [3, 1, 2] {
      options.parts = .one(try #require(RunPart(number: number, count: 3)), arguments: [])
      do {
        _ = try run(memory: number == 2 ? 96 << 20 : nil).write(
          to: path, options: options,
          progress: RunRecorder(onPause: { if $0.pauses == pause { throw StoppedByTest() } }))
      } catch is Paused {
        interrupted += 1
        _ = try run().write(to: path, options: options)
      }
      #expect(directory.contents.contains("out.gguf.part-\(number)-of-3.json"))
      #expect(!directory.contents.contains { $0.contains(".snapshot") || $0.hasSuffix(".journal") })
    }
    #expect(interrupted > 0)
    options.parts = .join(count: 3)
    _ = try run().write(to: path, options: options)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == expected)
    #expect(directory.contents == ["out.gguf"])
    options.parts = .one(try #require(RunPart(number: 1, count: 5)), arguments: [])
    #expect(throws: PartsError.self) { try run().write(to: directory.path("b.gguf"), options: options) }
  }

  /// The output of an interrupted run has changed since: that tensor is encoded with feedback again.
  @Test(arguments: [0, 4]) func aDamagedTensorIsEncodedAgain(experts: Int) throws {
    let source = FeedbackModel(layers: 3, experts: experts).model()
    let windows = FeedbackModel().windows(20)
    let expected = try written(run(source, windows)).file
    let directory = try TemporaryDirectory()
    let path = directory.path("out.gguf")
    var options = RewriteOptions()
    options.identity = RunIdentity([RunIdentity.Field("model", "m")])
    var first = try run(source, windows)
    first.snapshotSeconds = 0
    #expect(throws: Paused.self) {
      try first.write(
        to: path, options: options,
        progress: RunRecorder(onPause: { if $0.pauses == 18 { throw StoppedByTest() } }))
    }
    #expect(directory.contents.contains { $0.hasPrefix("out.gguf.snapshot-") })
    let part = try #require(directory.contents.first { $0.hasSuffix(".part") })
    let url = directory.url.appending(path: part)
    var data = try Data(contentsOf: url)
    let layout = plan(source).layout
    let index = try #require(layout.tensors.firstIndex { $0.name == "blk.0.attn_k.weight" })
    data[layout.offsets[index] + 1000] ^= 1
    try data.write(to: url)
    _ = try run(source, windows).write(to: path, options: options)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == expected)
  }

  @Test func blocksFollowTheMemory() throws {
    let source = FeedbackModel().model()
    let roomy = try run(source, FeedbackModel().windows(64), isSequential: false)
    #expect(roomy.blocks.cuts.isEmpty && roomy.blocks.widths == [256: 256, 512: 512])
    let narrow = try run(source, FeedbackModel().windows(64), memory: 12 << 20, isSequential: false)
    #expect(narrow.blocks.cuts.map(\.columns) == [512] && narrow.blocks.cuts.map(\.block) == [256])
  }

  @Test func aWideInputKeepsBlocksOfEightThousandColumnsIn12GiB() {
    let tensor = TensorInfo(name: "blk.0.ffn_down.weight", shape: Shape([53248, 16384])!, type: .bf16)
    let blocks = FeedbackBlocks(
      [(tensor, .q3_K)], tokens: 1 << 20, isPaired: false, rowBytes: 32 << 20, share: MemoryBudget(12 << 30).feedback)
    #expect(blocks.width(53248) >= 8192)
  }
}
