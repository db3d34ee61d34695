import Blocks
import Fit
import GGUF
import Imatrix
import Quantize
import Tensors
import TestSupport
import Testing
import Transformer

@Suite struct FeedbackWorkTests {
  private func run(_ model: FeedbackModel, isSequential: Bool = true) throws -> FeedbackRun {
    let source = model.model()
    let types = source.tensors.map { $0.isQuantizable ? GGMLType.q4_K : $0.type }
    let plan = RewritePlan(source: source, types: types, metadata: source.metadata)
    var run = try FeedbackRun(
      plan, windows: model.windows(16), forward: ForwardOptions(), isSequential: isSequential)
    run.effort = .feedback
    return run
  }

  private final class Recorder: RunObserver {
    var fractions: [Double] = []
    var details: [String] = []
    func advance(_ progress: RunProgress) {
      fractions.append(progress.fraction)
      details.append(progress.detail)
    }
  }

  /// The fraction grows from layer to layer as the work does, before any byte is written as well.
  @Test(arguments: [(0, true), (0, false), (4, false)]) func progressFollowsTheWork(experts: Int, isSequential: Bool)
    throws
  {
    let directory = try TemporaryDirectory()
    let run = try run(FeedbackModel(layers: 4, experts: experts), isSequential: isSequential)
    let recorder = Recorder()
    _ = try run.write(to: directory.path("out.gguf"), options: RewriteOptions(), progress: recorder)
    #expect(zip(recorder.fractions, recorder.fractions.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(try #require(recorder.fractions.last) > 0.999)
    for layer in 1..<4 {
      let start = try #require(recorder.details.firstIndex(of: "layer \(layer + 1) of 4"))
      #expect(abs(recorder.fractions[start] - Double(layer) / 4) < 0.1, "layer \(layer): \(recorder.fractions[start])")
    }
  }

  @Test func workCountsStreamsAndBytes() throws {
    let model = FeedbackModel()
    let (one, two) = (try run(model, isSequential: false).work(), try run(model).work())
    #expect(one.streams == 1 && two.streams == 2 && one.tokens == 16 * 16 && two.tokens == one.tokens)
    let stored = model.model().tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    #expect(two.encoderBytes == stored && two.passBytes < stored && two.passBytes > stored * 4 / 5)
    #expect(two.residentBytes > two.residentBytesWithout)
  }

  /// The same numbers as a pass for importance alone, whether the layers run in two streams or not.
  @Test(arguments: [(0, true), (0, false), (4, false)]) func importanceIsMeasuredOnTheWay(
    experts: Int, isSequential: Bool
  )
    throws
  {
    let model = FeedbackModel(experts: experts)
    var run = try run(model, isSequential: isSequential)
    run.dataset = ["text"]
    let directory = try TemporaryDirectory()
    let report = try run.write(to: directory.path("out.gguf"), options: RewriteOptions())
    let found = try #require(report.importance)
    let expected = try ImportanceRun(
      pass: try ForwardPass(source: model.model()), windows: model.windows(16), datasets: ["text"]
    ).run()
    #expect(found == expected)
  }

  /// The needs of a type beside the metric count: tables of its columns and the memory of all threads.
  @Test func memoryContainsTheTablesOfTheSearch() {
    let tensor = TensorInfo(name: "blk.0.ffn_down.weight", shape: Shape([4096, 64])!, type: .bf16)
    for type in [GGMLType.q4_K, .iq2_xxs, .iq1_m] {
      let (low, high) = (
        type.feedbackTableBytes(columns: 4096, effort: .scales),
        type.feedbackTableBytes(columns: 4096, effort: .descent)
      )
      #expect(low > 60 * 4096 && high >= 2 * low && high < 500 * 4096, "\(type)")
      #expect(type.feedbackThreadBytes(columns: 4096, effort: .descent) > 2 * 128 * 4096)
      let blocks = FeedbackBlocks(
        [(tensor, type)], tokens: 1 << 20, isPaired: false, rowBytes: 0, share: 1 << 30)
      #expect(
        blocks.bytes >= GramMatrix.bytes(columns: 4096, blockColumns: 4096) + FeedbackMetric.bytes(columns: 4096) + high
      )
    }
    #expect(GGMLType.mxfp4.feedbackTableBytes(columns: 4096, effort: .descent) == 0)
  }
}
