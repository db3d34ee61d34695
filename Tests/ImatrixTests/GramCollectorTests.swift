import GGUF
import Imatrix
import Tensors
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct GramCollectorTests {
  private let windows = RoutedLlama.windows
  private var tokens: Int { windows.count * windows[0].count }

  private func inputs(
    of model: MemoryModel, _ windows: [[Int32]] = RoutedLlama.windows, memory: Int? = nil,
    wants: @escaping (String) -> Bool = { _ in true }
  ) throws -> [GramInput] {
    var inputs: [GramInput] = []
    let pass = try ForwardPass(source: model, options: ForwardOptions(memory: memory))
    let collector = GramCollector(tokens: 1000, wantsOutput: true, wants: wants) { inputs.append($0) }
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: collector, snapshot: { _ in try collector.close() })
    try collector.close()
    return inputs
  }

  private func index(_ matrix: ObservedMatrix) -> Int {
    switch matrix {
    case .whole: 0
    case .expert(let index, of: _), .head(let index, of: _): index
    }
  }

  /// The diagonals are the sums of importance, with the same counts.
  @Test func diagonalsAreTheSumsOfImportance() throws {
    let model = RoutedLlama.model(layers: 2)
    var run = ImportanceRun(pass: try ForwardPass(source: model), windows: windows, datasets: [])
    run.output = true
    let importance = try run.run()
    var seen: [String: Set<Int>] = [:]
    for input in try inputs(of: model) {
      for name in input.tensors {
        let entry = try #require(importance.entries[name])
        let index = index(input.matrix)
        #expect(seen[name, default: []].insert(index).inserted, "\(name) \(index) is received twice")
        let count = entry.counts[min(index, entry.counts.count - 1)]
        #expect(Float(input.tokens) == count, "\(name)")
        let diagonal = input.gram.diagonal
        for column in diagonal.indices {
          let sum = diagonal[column] + (input.heldOut?.diagonal[column] ?? 0)
          let expected = entry.sums[index * diagonal.count + column]
          #expect(abs(sum - expected) <= 1e-5 * max(1, expected), "\(name) \(index) \(column)")
        }
      }
    }
    // Every expert with tokens, and no other.
    for (name, entry) in importance.entries {
      let expected = Set(entry.counts.indices.filter { entry.counts[$0] > 0 })
      #expect(seen[name] == expected, "\(name)")
    }
  }

  /// An expert's gate and up matrices have the Gram matrix of the layer's input. Its down matrix has none.
  @Test func expertsHaveTheInputOfTheirLayer() throws {
    let inputs = try inputs(of: RoutedLlama.model(layers: 2))
    let routers = inputs.filter { $0.tensors[0].hasSuffix("ffn_gate_inp.weight") }
    #expect(routers.count == 2)
    let experts = inputs.filter { $0.tensors[0].hasSuffix("ffn_gate_exps.weight") }
    #expect(!experts.isEmpty)
    for expert in experts {
      let router = routers.first { TensorName($0.tensors[0]).layer == TensorName(expert.tensors[0]).layer }
      #expect(expert.layer?.tokens == tokens)
      #expect(expert.layer?.values == router?.gram.values)
    }
    #expect(inputs.filter { !$0.tensors[0].contains("_exps") }.allSatisfy { $0.layer == nil })
    #expect(inputs.filter { $0.tensors[0].contains("ffn_down_exps") }.allSatisfy { $0.layer == nil })
  }

  /// Sixteen of every sixty-four tokens of an expert are held out.
  @Test func expertsHoldTokensOut() throws {
    for input in try inputs(of: RoutedLlama.model(layers: 1)) {
      guard case .expert = input.matrix else {
        #expect(input.heldOut == nil)
        continue
      }
      let runs = (0..<input.tokens).filter { $0 / 16 % 4 == 3 }.count
      #expect(input.heldOut?.tokens == runs)
    }
  }

  @Test func unwantedInputsAreNotSummed() throws {
    let received = try inputs(of: RoutedLlama.model(layers: 2)) { $0 == "blk.1.attn_k.weight" }
    #expect(received.map(\.tensors) == [["q", "k", "v"].map { "blk.1.attn_\($0).weight" }])
  }

  /// A small memory budget gives the same bits.
  @Test func memoryDoesNotChangeBits() throws {
    let model = RoutedLlama.model(layers: 2)
    let many: [[Int32]] = (0..<1000).map { index in
      let number = Int32(index)
      return windows[index % 3].map { (id: Int32) -> Int32 in (id + number) % 20 }
    }
    try withFixedThreads {
      Threads.count = 2
      let roomy = try inputs(of: model, many)
      let narrow = try inputs(of: model, many, memory: 64 << 20)
      #expect(roomy.map(\.tensors) == narrow.map(\.tensors))
      for (a, b) in zip(roomy, narrow) { #expect(a.gram.values == b.gram.values, "\(a.tensors)") }
    }
  }

  @Test func aReceiverStopsTheRun() throws {
    let pass = try ForwardPass(source: RoutedLlama.model(layers: 2))
    let collector = GramCollector(tokens: tokens, wantsOutput: false) { _ in throw StoppedByTest() }
    #expect(throws: StoppedByTest.self) { try pass.run(windows: windows, scored: 0..<0, observer: collector) }
  }
}
