import Blocks
import Tensors
import TestSupport
import Testing

/// Properties of every encoder with error feedback.
@Suite struct FeedbackTests {
  static let types =
    GGMLType.allCases.filter(\.takesFeedback)
    + [(2, 64, .f16), (3, 128, .bf16), (5, 32, .bf16)].compactMap {
      (bits: Int, group: Int, scales: AffineFormat.Scales) in
      AffineFormat(bits: bits, group: group, scales: scales)?.type
    }

  /// Two panels and a narrow one where blocks allow it.
  static func columns(_ type: GGMLType) -> Int { type.blockLength == 32 ? 352 : 512 }

  /// Inputs whose columns share directions and differ in size.
  static func gram(_ columns: Int, seed: UInt64) -> [Float] {
    var random = SplitMix(seed: seed)
    let directions = (0..<8 * columns).map { _ in random.normal() }
    let sizes = (0..<columns).map { _ in 0.3 + abs(random.normal()) }
    var gram = [Float](repeating: 0, count: columns * columns)
    for i in 0..<columns {
      for j in 0..<columns {
        var sum: Float = i == j ? 1 : 0
        for k in 0..<8 { sum += directions[k * columns + i] * directions[k * columns + j] * 0.3 }
        gram[i * columns + j] = sum * sizes[i] * sizes[j]
      }
    }
    return gram
  }

  static func encoded(
    _ rows: [Float], columns: Int, _ metric: FeedbackMetric, as type: GGMLType, _ effort: FeedbackEffort,
    inParallel: Bool = false
  ) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: (type.rowBytes(columns: columns) ?? 0) * (rows.count / columns))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    if inParallel {
      try encodeRowsInParallel(
        rows.span, columns: columns, metric: metric, importance: nil, as: type, effort: effort, into: &raw)
    } else {
      try encodeRows(
        rows.span, columns: columns, metric: metric, importance: nil, as: type, effort: effort, into: &raw)
    }
    return bytes
  }

  static func decoded(_ bytes: [UInt8], as type: GGMLType) -> [Float] {
    var floats = [Float](repeating: .nan, count: bytes.count / type.blockBytes * type.blockLength)
    var output = floats.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &output)
    return floats
  }

  /// Σ eᵀHe over rows.
  static func error(_ decoded: [Float], _ rows: [Float], _ gram: [Float], columns: Int) -> Double {
    var total = 0.0
    for start in stride(from: 0, to: rows.count, by: columns) {
      let e = (0..<columns).map { Double(rows[start + $0]) - Double(decoded[start + $0]) }
      for i in 0..<columns {
        var sum = 0.0
        for j in 0..<columns { sum += e[j] * Double(gram[i * columns + j]) }
        total += e[i] * sum
      }
    }
    return total
  }

  @Test(arguments: types) func feedbackLowersTheErrorAndEffortLowersItFurther(type: GGMLType) throws {
    let columns = Self.columns(type)
    let gram = Self.gram(columns, seed: 31)
    let metric = try FeedbackMetric(gram: gram.span, columns: columns, groupColumns: type.feedbackGroupColumns)
    let rows = EncodeTests.normal(20 * columns, seed: 32)
    let diagonal = (0..<columns).map { gram[$0 * columns + $0] }
    let plain = Self.error(
      try roundTrip(rows, columns: columns, importance: diagonal, as: type), rows, gram, columns: columns)
    var last = plain * 0.75
    for effort in FeedbackEffort.allCases {
      let bytes = try Self.encoded(rows, columns: columns, metric, as: type, effort)
      #expect(firstNonFiniteBlock(bytes.span.bytes, as: type) == nil)
      let error = Self.error(Self.decoded(bytes, as: type), rows, gram, columns: columns)
      #expect(error < last, "\(effort): \(error) of \(plain)")
      last = error
    }
  }

  /// Without correlations no error is fed back: weights are rounded with the plain encoder's scales.
  @Test(arguments: types) func independentColumnsAreRoundedPlainly(type: GGMLType) throws {
    let columns = Self.columns(type)
    var gram = [Float](repeating: 0, count: columns * columns)
    for c in 0..<columns { gram[c * columns + c] = [0.5, 1.5, 1.25, 0.75][c % 4] }
    let diagonal = (0..<columns).map { gram[$0 * columns + $0] }
    let metric = try FeedbackMetric(
      gram: gram.span, columns: columns, groupColumns: type.feedbackGroupColumns, damping: 0)
    let rows = EncodeTests.normal(3 * columns, seed: 33)
    let decoded = Self.decoded(
      try Self.encoded(rows, columns: columns, metric, as: type, .feedback), as: type)
    let plain = try roundTrip(rows, columns: columns, importance: diagonal, as: type)
    // Where the plain encoder enlarges the stored scales, it rounds with those before; here the stored ones round. And
    // it looks at few codewords.
    if type == .q2_K || type == .q3_K || CodebookTests.types.contains(type) {
      let (error, other) = (
        Self.error(decoded, rows, gram, columns: columns), Self.error(plain, rows, gram, columns: columns)
      )
      #expect(error <= other && error > 0.9 * other, "\(error / other)")
    } else {
      #expect(decoded == plain)
    }
  }

  @Test(arguments: types, FeedbackEffort.allCases)
  func bytesDependOnTheRowAlone(type: GGMLType, effort: FeedbackEffort) throws {
    let columns = Self.columns(type)
    let gram = Self.gram(columns, seed: 34)
    let metric = try FeedbackMetric(gram: gram.span, columns: columns, groupColumns: type.feedbackGroupColumns)
    let rows = EncodeTests.normal(43 * columns, seed: 35)
    let whole = try Self.encoded(rows, columns: columns, metric, as: type, effort)
    for threads in [1, 3] {
      let parallel = try withFixedThreads {
        Threads.count = threads
        return try Self.encoded(rows, columns: columns, metric, as: type, effort, inParallel: true)
      }
      #expect(parallel == whole)
    }
    var pieces: [UInt8] = []
    for range in [0..<1, 1..<18, 18..<20, 20..<43] {
      let part = Array(rows[range.lowerBound * columns..<range.upperBound * columns])
      pieces += try Self.encoded(part, columns: columns, metric, as: type, effort)
    }
    #expect(pieces == whole)
  }

  @Test(arguments: types) func hostileRowsAndInputsGiveFiniteBlocks(type: GGMLType) throws {
    let columns = Self.columns(type)
    var gram = Self.gram(columns, seed: 36)
    // A dead column, a massive one, and two that are the same.
    for k in 0..<columns { (gram[7 * columns + k], gram[k * columns + 7]) = (0, 0) }
    for k in 0..<columns {
      gram[9 * columns + k] *= 1e4
      gram[k * columns + 9] *= 1e4
    }
    for k in 0..<columns { gram[12 * columns + k] = gram[300 * columns + k] }
    for k in 0..<columns { gram[k * columns + 12] = gram[k * columns + 300] }
    let metric = try FeedbackMetric(gram: gram.span, columns: columns, groupColumns: type.feedbackGroupColumns)
    let rows = PlainTests.rows(columns: columns).flatMap { $0 } + [Float](repeating: 0, count: columns)
    for effort in FeedbackEffort.allCases {
      let bytes = try Self.encoded(rows, columns: columns, metric, as: type, effort)
      #expect(firstNonFiniteBlock(bytes.span.bytes, as: type) == nil)
      let decoded = Self.decoded(bytes, as: type)
      #expect(decoded.allSatisfy { $0.isFinite })
      #expect(decoded.suffix(columns).allSatisfy { $0 == 0 })
    }
  }

  @Test func diagonalBlocksAreEncodedAlone() throws {
    let gram = Self.gram(1024, seed: 37)
    let metric = try FeedbackMetric(gram: gram.span, columns: 1024, blockColumns: 512)
    let rows = EncodeTests.normal(4 * 1024, seed: 38)
    let bytes = try Self.encoded(rows, columns: 1024, metric, as: .q4_K, .descent)
    // The second half of the rows by itself, with the same scale of H.
    var half: [Float] = []
    for row in 512..<1024 { half += gram[row * 1024 + 512..<(row + 1) * 1024] }
    var both = [Float](repeating: 0, count: 1024 * 1024)
    for row in 0..<512 {
      for column in 0..<512 { both[(512 + row) * 1024 + 512 + column] = half[row * 512 + column] }
    }
    for k in 0..<512 { both[k * 1024 + k] = gram[k * 1024 + k] }
    let other = try FeedbackMetric(gram: both.span, columns: 1024)
    let expected = try Self.encoded(rows, columns: 1024, other, as: .q4_K, .descent)
    let size = GGMLType.q4_K.blockBytes
    for row in 0..<4 {
      let range = (4 * row + 2) * size..<(4 * row + 4) * size
      #expect(bytes[range] == expected[range])
    }
  }

  @Test func typesWithoutFeedbackAreEncodedPlainly() throws {
    let gram = Self.gram(256, seed: 39)
    let metric = try FeedbackMetric(gram: gram.span, columns: 256)
    let rows = EncodeTests.normal(512, seed: 40)
    for type in [GGMLType.f16, .bf16, .tq2_0] {
      #expect(!type.takesFeedback)
      let bytes = try Self.encoded(rows, columns: 256, metric, as: type, .descent)
      #expect(Self.decoded(bytes, as: type) == (try roundTrip(rows, columns: 256, as: type)))
    }
  }

  @Test func badRowsAreNamed() throws {
    let gram = Self.gram(288, seed: 41)
    let metric = try FeedbackMetric(gram: gram.span, columns: 288)
    var rows = EncodeTests.normal(40 * 288, seed: 42)
    #expect(throws: EncodeError.raggedRow(columns: 288, type: .q4_K)) {
      try Self.encoded(rows, columns: 288, metric, as: .q4_K, .scales)
    }
    rows[37 * 288 + 5] = .infinity
    for inParallel in [false, true] {
      #expect(throws: EncodeError.nonFiniteWeight(row: 37, column: 5)) {
        try Self.encoded(rows, columns: 288, metric, as: .q4_0, .scales, inParallel: inParallel)
      }
    }
  }

  static let plainTypes: [GGMLType] = [.q3_K, .q6_K, .iq4_xs, .q4_K, .q5_K, .q4_0, .iq4_nl]

  static func plainFormat(_ type: GGMLType) -> PlainFeedback.Format {
    switch type {
    case .q3_K: .scaledSuperBlock(.q3, length: 16, scales: -32...31, correctsShrinkage: true)
    case .q6_K: .scaledSuperBlock(.q6, length: 16, scales: -128...127, correctsShrinkage: false)
    case .iq4_xs: .scaledSuperBlock(.iq4, length: 32, scales: -32...31, correctsShrinkage: false)
    case .q4_K: .affineSuperBlock(.q4_K)
    case .q5_K: .affineSuperBlock(.q5_K)
    case .q4_0: .scaledBlocks(.q4)
    default: .scaledBlocks(.iq4)
    }
  }

  @Test(arguments: plainTypes) func vectorsDoWhatPlainLoopsDo(type: GGMLType) throws {
    let columns = Self.columns(type)
    let gram = Self.gram(columns, seed: 43)
    let metric = try FeedbackMetric(gram: gram.span, columns: columns, groupColumns: type.feedbackGroupColumns)
    let rows = EncodeTests.normal(2 * columns, seed: 44)
    for effort in FeedbackEffort.allCases {
      let decoded = Self.decoded(try Self.encoded(rows, columns: columns, metric, as: type, effort), as: type)
      for row in 0..<2 {
        let range = row * columns..<(row + 1) * columns
        let expected = PlainFeedback.decoded(
          Array(rows[range]), Self.plainFormat(type), metric, effort: effort.rawValue)
        #expect(Array(decoded[range]) == expected, "\(type) \(effort) row \(row)")
      }
    }
  }
}
