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
}
