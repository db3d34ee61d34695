import GGUF
import Inspection
import Tensors
import TestSupport
import Testing

@Suite struct ModelDifferenceTests {
  private func model(_ tensors: [(String, [Int], [Float])]) -> MemoryModel {
    MemoryModel(metadata: [:], tensors: tensors.map { (name: $0.0, shape: $0.1, values: $0.2) })
  }

  @Test func tensorsAreMatchedByName() {
    let one = model([("a", [2], [1, 2]), ("b", [2], [1, 2]), ("c", [2], [1, 2])])
    let other = model([("d", [1], [1]), ("c", [1, 2], [1, 2]), ("a", [2], [1, 2])])
    let difference = ModelDifference(one, other)
    #expect(difference.onlyInFirst.map(\.name) == ["b"])
    #expect(difference.onlyInSecond.map(\.name) == ["d"])
    #expect(difference.otherShape.map(\.first.name) == ["c"])
    #expect(difference.common.map(\.first.name) == ["a"])
  }

  @Test(arguments: [
    ([3, 4] as [Float], [3, 4] as [Float], 0.0), ([3, 4], [3, 5], 1.0 / 25), ([3, 4], [0, 0], 1),
    ([0, 0], [0, 0], 0), ([0, 0], [0, 1], .infinity),
  ])
  func errorsAreRelativeToTheFirst(a: [Float], b: [Float], expected: Double) throws {
    let (one, other) = (model([("t", [2], a)]), model([("t", [2], b)]))
    let pair = try #require(ModelDifference(one, other).common.first)
    #expect(try ModelDifference.relativeError(pair, one, other) == expected)
  }

  @Test func nonFiniteWeightsShow() throws {
    let (one, other) = (model([("t", [2], [3, 4])]), model([("t", [2], [3, .nan])]))
    let pair = try #require(ModelDifference(one, other).common.first)
    #expect(try #require(try ModelDifference.relativeError(pair, one, other)).isNaN)
  }

  /// Many blocks of rows, against one sum over everything.
  @Test func blocksOfRowsAddUp() throws {
    var generator = SplitMix(seed: 4)
    let (columns, rows) = (1000, 700)
    let a = generator.floats(columns * rows, bound: 1)
    let b = zip(a, generator.floats(columns * rows, bound: 0.1)).map { $0 + $1 }
    let error = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    let energy = a.reduce(0.0) { $0 + Double($1) * Double($1) }
    let (one, other) = (model([("t", [columns, rows], a)]), model([("t", [columns, rows], b)]))
    let pair = try #require(ModelDifference(one, other).common.first)
    let result = try #require(try ModelDifference.relativeError(pair, one, other))
    #expect(abs(result / (error / energy) - 1) < 1e-12)
    // A row at a time at most: nothing was read twice but for the comparison of bytes.
    #expect(one.rowReads.withLock { $0["t"] } == rows)
  }

  /// 33 blocks are two batches, of the comparison of bytes and of the sum.
  @Test func batchesAddUpAndCanBeStopped() throws {
    let (columns, rows) = (1 << 18, 33)
    let a = [Float](repeating: 2, count: columns * rows)
    var b = a
    b[0] = 3
    b[b.count - 1] = 4
    let (one, other) = (model([("t", [columns, rows], a)]), model([("t", [columns, rows], b)]))
    let pair = try #require(ModelDifference(one, other).common.first)
    let recorder = RunRecorder()
    #expect(
      try ModelDifference.relativeError(pair, one, other, progress: recorder) == 5 / (4 * Double(columns * rows)))
    #expect(recorder.heard.map(\.fraction) == [0.5 * 32 / 33, 0.5, 0.5 + 0.5 * 32 / 33, 1])
    #expect(throws: StoppedByTest.self) {
      try ModelDifference.relativeError(pair, one, other, progress: RunRecorder { _ in throw StoppedByTest() })
    }
  }

  @Test func metadataIsComparedByKey() {
    let one: Metadata = ["a": .uint32(1), "b": .string("x"), "c": .bool(true)]
    let other: Metadata = ["d": .uint32(1), "c": .bool(true), "a": .uint64(1)]
    let differences = MetadataDifference.between(one, other)
    #expect(
      differences == [
        MetadataDifference(key: "a", first: .uint32(1), second: .uint64(1)),
        MetadataDifference(key: "b", first: .string("x"), second: nil),
        MetadataDifference(key: "d", first: nil, second: .uint32(1)),
      ])
  }
}
