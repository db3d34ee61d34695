import Blocks
import Tensors
import TestSupport
import Testing

/// Properties of every encoder, independent of its search.
@Suite struct EncodeTests {
  static let types = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized }

  /// The maximum relative squared error of normal weights, slightly above the error of each type.
  static let tolerance: [GGMLType: Double] = [
    .q8_0: 5e-5, .q6_K: 4e-4, .q5_K: 1.6e-3, .q4_K: 6e-3, .q3_K: 2.5e-2, .q2_K: 9e-2,
    .q4_0: 9e-3, .q4_1: 8e-3, .q5_0: 2.2e-3, .q5_1: 2e-3, .iq4_nl: 8e-3, .iq4_xs: 8e-3, .iq3_s: 2.6e-2,
    .iq3_xxs: 3.6e-2, .iq2_s: 7e-2, .iq2_xs: 8e-2, .iq2_xxs: 1.1e-1, .iq1_m: 1.8e-1, .iq1_s: 2.1e-1, .tq1_0: 3e-1,
    .tq2_0: 3e-1, .mxfp4: 1.6e-2,
  ]

  /// The maximum error of a weight of 900 among weights of 0.02, slightly above the error of each type. A type with the
  /// level zero has only the rounding of scales, 900 / 2^11. Other types lose a part of 900 to the other weights: at
  /// two bits the smallest magnitude is a fifth of the largest. The levels of MXFP4 around 900 are 768 and 1024.
  static let outlierTolerance: [GGMLType: Float] = [
    .iq4_nl: 1.7, .iq4_xs: 1.7, .iq3_s: 35, .iq3_xxs: 32, .iq2_s: 91, .iq2_xs: 91, .iq2_xxs: 306, .iq1_m: 38,
    .iq1_s: 64, .mxfp4: 124.5,
  ]

  static func normal(_ count: Int, seed: UInt64, scale: Float = 0.02) -> [Float] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in random.normal() * scale }
  }

  static func error(_ decoded: [Float], _ rows: [Float], columns: Int, importance: [Float]?) -> Double {
    var error = RelativeError()
    error.add(decoded.span, to: rows.span, columns: columns, weights: importance?.map(Double.init))
    return error.value
  }

  @Test(arguments: types) func normalWeightsHaveAtMostTheTypesError(type: GGMLType) throws {
    let rows = Self.normal(16 * 512, seed: 7)
    let importance = Self.normal(512, seed: 8).map { $0 * $0 + 1e-5 }
    for weights in [importance, type.needsImportance ? importance : nil] {
      let decoded = try roundTrip(rows, columns: 512, importance: weights, as: type)
      let error = Self.error(decoded, rows, columns: 512, importance: weights)
      let bound = try #require(Self.tolerance[type])
      #expect(error > 0 && error < bound, "\(type) \(error)")
    }
  }

  @Test(arguments: types) func zerosStayZero(type: GGMLType) throws {
    let ones = [Float](repeating: 1, count: 256)
    let decoded = try roundTrip([Float](repeating: 0, count: 256), columns: 256, importance: ones, as: type)
    #expect(decoded.allSatisfy { $0 == 0 })
  }

  /// A power of two changes only the exponent of half-precision scales, as long as these are normal.
  @Test(arguments: types.filter { $0 != .mxfp4 }) func powersOfTwoScaleTheResult(type: GGMLType) throws {
    let rows = Self.normal(1024, seed: 11, scale: 1)
    let importance = Self.normal(256, seed: 12).map { $0 * $0 + 1e-5 }
    let one = try roundTrip(rows, columns: 256, importance: importance, as: type)
    let four = try roundTrip(rows.map { $0 * 4 }, columns: 256, importance: importance, as: type)
    #expect(one.map { $0 * 4 } == four)
  }

  @Test(arguments: types) func anOutlierAndSubnormalsSurvive(type: GGMLType) throws {
    let importance = [Float](repeating: 1, count: 256)
    var rows = Self.normal(256, seed: 13)
    rows[77] = 900
    let outlier = try roundTrip(rows, columns: 256, importance: importance, as: type)
    #expect(outlier.allSatisfy { $0.isFinite })
    #expect(abs(outlier[77] - 900) < Self.outlierTolerance[type] ?? 0.5)
    let tiny = rows.map { _ in Float.leastNonzeroMagnitude * 3 }
    let decoded = try roundTrip(tiny, columns: 256, importance: importance, as: type)
    #expect(decoded.allSatisfy { abs($0) < 1e-6 })
    let huge = rows.map { $0 < 0 ? -Float.greatestFiniteMagnitude : Float.greatestFiniteMagnitude }
    #expect(try roundTrip(huge, columns: 256, importance: importance, as: type).allSatisfy { $0.isFinite })
  }

  @Test(arguments: types) func importanceWithoutInformationCountsAsTheMean(type: GGMLType) throws {
    let rows = Self.normal(512, seed: 14)
    let ones = [Float](repeating: 1, count: 256)
    let expected = try roundTrip(rows, columns: 256, importance: ones, as: type)
    var spoiled = ones
    spoiled[3] = .nan
    spoiled[4] = 0
    spoiled[5] = -.infinity
    #expect(try roundTrip(rows, columns: 256, importance: spoiled, as: type) == expected)
    let zero = [Float](repeating: 0, count: 256)
    #expect(try roundTrip(rows, columns: 256, importance: zero, as: type) == expected)
  }

  @Test(arguments: types) func aWeightThatIsNotFiniteIsNamed(type: GGMLType) throws {
    let ones = [Float](repeating: 1, count: 256)
    for bad in [Float.nan, .infinity, -.infinity] {
      var rows = Self.normal(3 * 256, seed: 15)
      rows[2 * 256 + 9] = bad
      #expect(throws: EncodeError.nonFiniteWeight(row: 2, column: 9)) {
        try roundTrip(rows, columns: 256, importance: ones, as: type)
      }
    }
  }

  @Test(arguments: types) func threadsDoNotChangeTheBytes(type: GGMLType) throws {
    let rows = Self.normal(512 * 256, seed: 16)
    let importance = Self.normal(256, seed: 17).map { $0 * $0 + 1e-5 }
    let size = 512 * type.rowBytes(columns: 256)!
    var one = [UInt8](repeating: 0, count: size)
    var many = one
    var span = one.mutableSpan
    var raw = span.mutableBytes
    try encodeRows(rows.span, columns: 256, importance: importance.span, as: type, into: &raw)
    var manySpan = many.mutableSpan
    var manyRaw = manySpan.mutableBytes
    try encodeRowsInParallel(rows.span, columns: 256, importance: importance.span, as: type, into: &manyRaw)
    #expect(one == many)
  }

  @Test func typesThatNeedImportanceSaySo() {
    let rows = Self.normal(256, seed: 18)
    for type in Self.types where type.needsImportance {
      #expect(throws: EncodeError.needsImportance(type)) {
        try roundTrip(rows, columns: 256, importance: nil, as: type)
      }
    }
  }
}
