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

  @Test func ggufFormatIsLossless() throws {
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

  @Test func legacyFormatKeepsMeans() throws {
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

  @Test func anExpertWithoutTokensGetsTheMeanOfItsLayer() throws {
    let experts = TensorInfo(name: "blk.0.ffn_up_exps.weight", shape: Shape([2, 5, 3])!, type: .f16)
    #expect(Self.matrix.importance(for: experts) == [1, 2, 2, 2.5, 3, 3])
    #expect(Self.matrix.coverage.map(\.layer) == [0] && Self.matrix.coverage[0].tokens == [100, 0, 100])
    #expect(Self.matrix.coverage[0].starved == [1])
  }

  @Test func mergingAddsSumsAndCounts() throws {
    let merged = try ImportanceMatrix(merging: [Self.matrix, Self.matrix])
    #expect(merged.entries["blk.0.attn_q.weight"] == .init(sums: [16, 8, 0], counts: [8]))
    #expect(merged.chunkCount == 14)
    var part = Self.matrix
    part.entries["blk.0.ffn_up_exps.weight"] = nil
    part.entries["blk.0.attn_k.weight (reshaped)"] = .init(sums: [1, 2, 3], counts: [5])
    let joined = try ImportanceMatrix(merging: [Self.matrix, part])
    #expect(joined.names == ["blk.0.attn_k.weight", "blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"])
    #expect(joined.entries["blk.0.attn_k.weight"] == .init(sums: [1, 2, 3], counts: [5]))
    #expect(joined.entries["blk.0.ffn_up_exps.weight"] == Self.matrix.entries["blk.0.ffn_up_exps.weight"])
    #expect(
      ImportanceMatrix.names(missingFromSome: [Self.matrix, part]) == [
        "blk.0.attn_k.weight", "blk.0.ffn_up_exps.weight",
      ])
    var other = Self.matrix
    other.entries["blk.0.attn_q.weight"] = .init(sums: [1], counts: [1])
    #expect(throws: ImatrixError.unmergeable(tensor: "blk.0.attn_q.weight", reason: "has 3 and 1 columns")) {
      try ImportanceMatrix(merging: [Self.matrix, other])
    }
  }

  @Test func statisticsAreThoseOfTheMeans() throws {
    let q = try #require(Self.matrix.statistics.first { $0.tensor == "blk.0.attn_q.weight" })
    #expect(q.total == 3 && q.minimum == 0 && q.maximum == 2 && q.mean == 1 && q.columns == 3)
    #expect(abs(q.deviation - (2.0 / 3).squareRoot()) < 1e-12)
    #expect(abs(q.entropy - (-(2.0 / 3) * log2(2.0 / 3) - 1.0 / 3 * log2(1.0 / 3))) < 1e-12)
    #expect(abs(q.active - 2.0 / 3) < 1e-12 && abs(q.outliers - 1.0 / 3) < 1e-12 && q.similarity == nil)
  }

  /// A .dat counts calls. Entries without calls have values that are used unchanged, or zeros that are ignored.
  @Test func tensorsThatWereNeverCalled() throws {
    let path = temporaryPath("a.dat")
    defer { try? FileManager.default.removeItem(atPath: path) }
    var bytes: [UInt8] = [3, 0, 0, 0]
    for (name, calls, values) in [("A", 0, [0, 0]), ("B", 0, [1, 2]), ("C", 4, [4, 8])] as [(String, UInt8, [Float])] {
      bytes += [1, 0, 0, 0] + Array(name.utf8) + [calls, 0, 0, 0, 2, 0, 0, 0]
      for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) } }
    }
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let matrix = try ImportanceMatrix(path: path)
    func importance(_ name: String) -> [Float]? {
      matrix.importance(for: TensorInfo(name: name, shape: Shape([2, 3])!, type: .f16))
    }
    #expect(importance("A") == nil && importance("B") == [1, 2] && importance("C") == [1, 2])
    // Entries without importance are not written again.
    try matrix.write(legacy: path, overwrite: true)
    #expect(try ImportanceMatrix(path: path).names == ["B", "C"])
  }

  @Test func tensorsThatAreNotImportanceAreNotRead() throws {
    let path = temporaryPath("a.gguf")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let contents: [(name: String, type: GGMLType, bytes: [UInt8])] = [
      ("q.in_sum2", .f32, [0, 0, 128, 63]), ("q.counts", .f32, [0, 0, 128, 63]), ("q.in_sum", .f32, [0, 0, 128, 191]),
      ("q.kurtosis", .f16, [0, 60]),
    ]
    let tensors = contents.map { TensorInfo(name: $0.name, shape: Shape([1, 1])!, type: $0.type) }
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: ["general.type": .string("imatrix")], tensors: tensors),
      overwrite: false)
    for (index, content) in contents.enumerated() { try writer.write(content.bytes.span.bytes, tensor: index, row: 0) }
    try writer.commit()
    let matrix = try ImportanceMatrix(path: path)
    #expect(matrix.entries == ["q": .init(sums: [1], counts: [1])])
    #expect(matrix.unread == ["q.in_sum", "q.kurtosis"])
  }

  @Test(arguments: ["/home/me/text.txt", "C:\\Users\\me\\text.txt", "..\\me/text.txt", "text.txt"])
  func pathsAreReducedToBaseNames(path: String) {
    let matrix = ImportanceMatrix(entries: [:], datasets: [path], chunkCount: 0, chunkSize: 0)
    #expect(matrix.datasets == ["text.txt"])
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

  /// Sums precede their counts in the file, and are read together with them.
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
    var sums = SquareSums(count: columns + 2)
    try addColumnSquares(of: x.span, columns: columns, to: &sums, at: 1)
    let plain = plainColumnSquares(of: x, columns: columns)
    let values = zip(sums.coarse, sums.fine).map { $0 + $1 }
    #expect(values[0] == 0 && values[columns + 1] == 0)
    for column in 0..<columns { #expect(abs(values[column + 1] - plain[column]) <= 0x1p-39 * Double(tokens)) }
  }

  /// Parts of a text in any order, and in any number of calls, give the same bits; also beside activations that are a
  /// million times larger.
  @Test func sumsDoNotDependOnTheOrderOfTokens() throws {
    let columns = 40
    var random = SplitMix(seed: 7)
    var rows = (0..<300).map { _ in random.floats(columns, bound: 3) }
    rows[17] = rows[17].map { $0 * 1e6 }
    rows[40] = rows[40].map { $0 * 1e-6 }
    func sums(_ rows: [[Float]], calls: Int) throws -> SquareSums {
      var sums = SquareSums(count: columns)
      for start in stride(from: 0, to: rows.count, by: calls) {
        let x = rows[start..<min(rows.count, start + calls)].flatMap { $0 }
        try addColumnSquares(of: x.span, columns: columns, to: &sums, at: 0)
      }
      return sums
    }
    let whole = try sums(rows, calls: 300)
    #expect(try sums(rows.reversed(), calls: 7) == whole)
    #expect(try sums(rows.shuffled(using: &random), calls: 1) == whole)
    var joined = try sums(Array(rows[200...]), calls: 64)
    joined.add(try sums(Array(rows[..<200]), calls: 64))
    #expect(joined == whole)
  }

  @Test func countsArePerTensorOrExpert() throws {
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
