import Checkpoint
import Fit
import GGUF
import Perplexity
import Quantize
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformer

@Suite struct ProbesTests {
  /// A probe that starts from the reference's states gives the same result as two whole runs.
  @Test func aProbeEqualsTwoWholeRuns() throws {
    let model = try openModel(path: Repository.demoModel)
    let tokenizer = try Tokenizer(metadata: model.metadata)
    let text = (0..<40).map { "The \($0)th line of a text, which is about nothing in particular.\n" }.joined()
    let windows = try ScoringWindows(tokens: tokenizer.encode(text), context: 128, bos: tokenizer.bos, limit: 2)
    var probes = Probes(source: model, importance: nil, windows: windows, options: ForwardOptions())
    probes.type = .q2_K
    let table = try SensitivityRun(probes: probes, types: [.q2_K, .q4_K]).run()
    #expect(table.entries.count == 30 && table.probes.count == 30 && table.bands == 4 && table.isComplete)

    for name in ["token_embd.weight", "blk.2.attn_v.weight", "output.weight"] {
      let entry = try #require(table.entries.first { $0.tensor == name })
      let probe = try #require(table.probes.first { $0.tensors == [name] })
      let source = Rounded(base: model, name: name)
      func states(_ source: any ModelSource) throws -> FinalStates {
        try ForwardPass(source: source).run(windows: windows.windows, scored: windows.scored)
      }
      let drift = try Drift.measure(
        base: (name: "base", source: try states(model)), candidates: [(name: name, source: try states(source))],
        windows: windows, memory: 1 << 28)[0]
      let expected = DriftStatistics(drift).divergence.value
      // Sums use different tiles, so that the last digits of single precision may differ.
      #expect(abs(probe.divergence - expected) < 1e-3 * expected, "\(name): \(probe.divergence) and \(expected)")
      #expect(probe.error == entry.errors["Q2_K"]!)
      #expect(entry.coefficient > 0 && entry.expectation != nil)
      #expect(try #require(probe.standardError) > 0)
      #expect(entry.errors["Q4_K"]! < entry.errors["Q2_K"]!)
    }
  }
}

/// The model with one tensor in Q2_K, made without the module under test.
private struct Rounded: ModelSource {
  let base: any ModelSource
  let rounded: String

  init(base: any ModelSource, name: String) {
    self.base = base
    rounded = name
  }

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }
  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }
  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try base.readRows(of: tensor, rows: rows, into: &output)
    guard tensor.name == rounded else { return }
    let floats = (0..<output.count).map { output[$0] }
    let back = try roundTrip(floats, columns: tensor.shape.columns, as: .q2_K)
    for index in back.indices { output[index] = back[index] }
  }
}
