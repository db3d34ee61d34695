import Foundation
import GGUF
import Imatrix
import Tensors
import TestSupport
import Testing
import Transformer

private func temporaryPath(_ name: String) -> String {
  FileManager.default.temporaryDirectory.appending(path: "imatrix-\(UUID().uuidString)-\(name)").path
}

@Suite struct ImportanceMatrixTests {
  static let matrix = ImportanceMatrix(
    entries: [
      "blk.0.attn_q.weight": .init(sums: [8, 4, 0], counts: [4]),
      "blk.0.ffn_up_exps.weight": .init(sums: [100, 200, 0, 0, 300, 300], counts: [100, 0, 100]),
    ], datasets: ["/home/me/text.txt"], chunkCount: 7, chunkSize: 512)

  @Test func ggufFormComesBackWhole() throws {
    let path = temporaryPath("a.gguf")
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Self.matrix.write(gguf: path)
    let back = try ImportanceMatrix(path: path)
    #expect(back == Self.matrix)
    #expect(back.datasets == ["text.txt"])
    let file = try GGUFFile(path: path)
    #expect(
      file.tensors.map(\.name) == [
        "blk.0.attn_q.weight.in_sum2", "blk.0.attn_q.weight.counts", "blk.0.ffn_up_exps.weight.in_sum2",
        "blk.0.ffn_up_exps.weight.counts",
      ])
    #expect(file.tensors[2].shape.dimensions == [2, 3])
  }

  @Test func legacyFormKeepsMeans() throws {
    let path = temporaryPath("a.dat")
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Self.matrix.write(legacy: path)
    let back = try ImportanceMatrix(path: path)
    #expect(back.chunkCount == 7 && back.datasets == ["text.txt"])
    let q = TensorInfo(name: "blk.0.attn_q.weight", shape: Shape([3, 5])!, type: .f16)
    #expect(back.importance(for: q) == [2, 1, 0])
    let experts = TensorInfo(name: "blk.0.ffn_up_exps.weight", shape: Shape([2, 5, 3])!, type: .f16)
    #expect(back.importance(for: experts) == Self.matrix.importance(for: experts))
    #expect(back.expanded(chunkSize: 512).importance(for: q) == [2, 1, 0])
  }

  @Test func anExpertThatSawNothingGetsTheMeanOfItsLayer() throws {
    let experts = TensorInfo(name: "blk.0.ffn_up_exps.weight", shape: Shape([2, 5, 3])!, type: .f16)
    #expect(Self.matrix.importance(for: experts) == [1, 2, 2, 2.5, 3, 3])
    #expect(Self.matrix.coverage.map(\.layer) == [0] && Self.matrix.coverage[0].tokens == [100, 0, 100])
    #expect(Self.matrix.coverage[0].starved == [1])
  }

  @Test func mergingAddsSumsAndCounts() throws {
    let merged = try ImportanceMatrix(merging: [Self.matrix, Self.matrix])
    #expect(merged.entries["blk.0.attn_q.weight"] == .init(sums: [16, 8, 0], counts: [8]))
    #expect(merged.chunkCount == 14)
    var other = Self.matrix
    other.entries["blk.0.attn_q.weight"] = .init(sums: [1], counts: [1])
    #expect(throws: ImatrixError.unmergeable(tensor: "blk.0.attn_q.weight", reason: "has 3 and 1 columns")) {
      try ImportanceMatrix(merging: [Self.matrix, other])
    }
  }

  @Test func statisticsAreThoseOfTheMeans() throws {
    let q = try #require(Self.matrix.statistics.first { $0.tensor == "blk.0.attn_q.weight" })
    #expect(q.total == 3 && q.least == 0 && q.most == 2 && q.mean == 1 && q.columns == 3)
    #expect(abs(q.deviation - (2.0 / 3).squareRoot()) < 1e-12)
    #expect(abs(q.entropy - (-(2.0 / 3) * log2(2.0 / 3) - 1.0 / 3 * log2(1.0 / 3))) < 1e-12)
    #expect(abs(q.active - 2.0 / 3) < 1e-12 && abs(q.outliers - 1.0 / 3) < 1e-12 && q.similarity == nil)
  }

  @Test func anotherModelsMatrixIsRefusedWithTheFirstDifference() throws {
    func model(_ tensors: [(name: String, shape: [Int], values: [Float])]) -> MemoryModel {
      MemoryModel(metadata: [:], tensors: tensors)
    }
    var matrix = Self.matrix
    matrix.entries["blk.0.ffn_up_exps.weight"] = nil
    try matrix.check(against: model([("blk.0.attn_q.weight", [3, 1], [1, 2, 3])]))
    #expect(throws: ImatrixError.otherModel(tensor: "blk.0.attn_q.weight", reason: "has 3 columns, the model's has 2"))
    {
      try matrix.check(against: model([("blk.0.attn_q.weight", [2, 1], [1, 2])]))
    }
    #expect(throws: ImatrixError.otherModel(tensor: "blk.0.attn_q.weight", reason: "is not in the model")) {
      try matrix.check(against: model([("blk.0.attn_k.weight", [2, 1], [1, 2])]))
    }
    #expect(
      throws: ImatrixError.otherModel(tensor: "blk.1.attn_q.weight", reason: "is in a layer that has no importance")
    ) {
      try matrix.check(
        against: model([("blk.0.attn_q.weight", [3, 1], [1, 2, 3]), ("blk.1.attn_q.weight", [3, 1], [1, 2, 3])]))
    }
  }

  @Test(arguments: [
    ("empty", [] as [UInt8]), ("no entries", [0, 0, 0, 0]), ("negative count", [255, 255, 255, 255]),
    ("name beyond the file", [1, 0, 0, 0, 255, 255, 255, 127] + [UInt8](repeating: 0, count: 16)),
    ("values beyond the file", [1, 0, 0, 0, 1, 0, 0, 0, 65, 1, 0, 0, 0, 255, 255, 255, 127]),
    ("NaN", [1, 0, 0, 0, 1, 0, 0, 0, 65, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 192, 127]),
  ])
  func damagedFilesAreRefused(name: String, bytes: [UInt8]) throws {
    let path = temporaryPath("bad.dat")
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    #expect(throws: ImatrixError.self) { try ImportanceMatrix(path: path) }
  }

  /// Sums come first, and are read with their counts.
  @Test func countsOfAnotherTypeAreRefused() throws {
    let path = temporaryPath("bad.gguf")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let tensors = [("in_sum2", GGMLType.f32), ("counts", .f16)].map { suffix, type in
      TensorInfo(name: "blk.0.ffn_up.weight.\(suffix)", shape: Shape([1, 1])!, type: type)
    }
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: ["general.type": .string("imatrix")], tensors: tensors),
      overwrite: false)
    for index in tensors.indices {
      try writer.write([UInt8](repeating: 0, count: index == 0 ? 4 : 2).span.bytes, tensor: index, row: 0)
    }
    try writer.commit()
    let error = #expect(throws: ImatrixError.self) { try ImportanceMatrix(path: path) }
    #expect(error?.description.contains("'blk.0.ffn_up.weight.counts' is F16, not F32") == true)
  }
}

@Suite struct CollectorTests {
  @Test(arguments: [1, 63, 64, 65, 200], [1, 15, 16, 40, 1100])
  func columnSquaresAgreeWithThePlainLoop(tokens: Int, columns: Int) throws {
    var random = SplitMix(seed: UInt64(tokens * 10000 + columns))
    let x = random.floats(tokens * columns, bound: 3)
    var sums = [Double](repeating: 1, count: columns + 2)
    var span = sums.mutableSpan
    try addColumnSquares(of: x.span, columns: columns, to: &span, at: 1)
    let plain = plainColumnSquares(of: x, columns: columns)
    #expect(sums[0] == 1 && sums[columns + 1] == 1)
    // 64 roundings of single precision.
    for column in 0..<columns { #expect(abs(sums[column + 1] - 1 - plain[column]) <= 4e-6 * plain[column]) }
  }

  @Test func countsGoByTensorByExpertAndByHead() throws {
    let collector = ImportanceCollector()
    let rows: [Float] = [1, 2, 3, 4]
    try collector.observe(["a", "b"], inputs: rows.span, columns: 2, matrix: .whole)
    try collector.observe(["e"], inputs: rows.span, columns: 2, matrix: .expert(2, of: 3))
    for head in 0..<2 { try collector.observe(["h"], inputs: rows.span, columns: 2, matrix: .head(head, of: 2)) }
    let entries = collector.matrix(datasets: [], chunkCount: 1, chunkSize: 2).entries
    #expect(entries["a"] == .init(sums: [10, 20], counts: [2]) && entries["b"] == entries["a"])
    #expect(entries["e"] == .init(sums: [0, 0, 0, 0, 10, 20], counts: [0, 0, 2]))
    #expect(entries["h"] == .init(sums: [10, 20, 10, 20], counts: [2]))
  }
}
