import Blocks
import Fit
import GGUF
import Synchronization
import Tensors
import TestSupport
import Testing

@Suite struct MixedSourceTests {
  /// Ranges of rows across the matrices of a stack equal single rows that are encoded with their matrix's importance and
  /// decoded; importance is read once.
  @Test(arguments: [GGMLType.q4_K, .iq2_xs]) func rangesEqualSingleRows(type: GGMLType) throws {
    var random = SplitMix(seed: 12)
    let (columns, rows, matrices) = (256, 5, 3)
    let weights = random.floats(columns * rows * matrices, bound: 1)
    let importance = random.floats(columns * matrices, bound: 1).map { 0.1 + abs($0) }
    let model = MemoryModel(
      metadata: [:], tensors: [("blk.0.ffn_up_exps.weight", [columns, rows, matrices], weights)])
    let asked = Mutex(0)
    let source = MixedSource(base: model, types: ["blk.0.ffn_up_exps.weight": type]) { _ in
      asked.withLock { $0 += 1 }
      return importance
    }
    let tensor = source.tensors[0]
    for range in [0..<15, 3..<12, 4..<5] {
      var found = [Float](repeating: 0, count: range.count * columns)
      var span = found.mutableSpan
      try source.readRows(of: tensor, rows: range, into: &span)
      for row in range {
        var bytes = [UInt8](repeating: 0, count: type.rowBytes(columns: columns)!)
        var output = bytes.mutableSpan
        var raw = output.mutableBytes
        let single = Array(weights[row * columns..<(row + 1) * columns])
        let columnWeights = Array(importance[row / rows * columns..<(row / rows + 1) * columns])
        try encodeRows(single.span, columns: columns, importance: columnWeights.span, as: type, into: &raw)
        var decoded = [Float](repeating: 0, count: columns)
        var target = decoded.mutableSpan
        decodeRows(bytes.span.bytes, as: type, into: &target)
        let first = (row - range.lowerBound) * columns
        #expect(Array(found[first..<first + columns]) == decoded, "row \(row) of \(range)")
      }
    }
    #expect(asked.withLock { $0 } == 1)
  }

  /// The part of an error that feedback is expected to leave: rows are nearer to the weights by that factor, whether the tensor was
  /// encoded before or not.
  @Test func remaindersScaleErrors() throws {
    var random = SplitMix(seed: 3)
    let name = "blk.0.ffn_up.weight"
    let weights = random.floats(256 * 300, bound: 1)
    let model = MemoryModel(metadata: [:], tensors: [(name, [256, 300], weights)])
    func rows(_ remainders: [String: Float], _ encoded: EncodedTensors? = nil) throws -> [Float] {
      let source = MixedSource(
        base: model, types: [name: .q2_K], remainders: remainders, importance: nil, encoded: encoded)
      var rows = [Float](repeating: 0, count: 297 * 256)
      var span = rows.mutableSpan
      try source.readRows(of: source.tensors[0], rows: 2..<299, into: &span)
      return rows
    }
    let encoded = EncodedTensors()
    encoded.allow(1 << 20)
    try encoded.prepare(model.tensors[0], as: .q2_K, of: model, nil)
    let (whole, half) = (try rows([:]), try rows([name: 0.5]))
    #expect(try rows([name: 0.5], encoded) == half)
    for (index, weight) in weights[512..<299 * 256].enumerated() {
      #expect(abs(half[index] - (weight + whole[index]) / 2) < 1e-6)
    }
  }
}
