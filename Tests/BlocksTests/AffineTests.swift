import Blocks
import Foundation
import Tensors
import TestSupport
import Testing

/// The affine groups of MLX.
@Suite struct AffineTests {
  static let kinds = ["normal", "negative", "positive", "constant", "zero", "heavy", "tiny"]
  static let columns = 384
  static let plain = AffineFormat.Scales.allCases.flatMap { AffineFormat.all($0, encoder: .plain) }
  static let searched = AffineFormat.Scales.allCases.flatMap { AffineFormat.all($0) }

  /// Outputs of mlx, written by Fixtures/affine.py: by format and kind the digests of groups and of floats.
  static let digests: [String: [String: [String]]] = {
    guard let url = Bundle.module.url(forResource: "Fixtures/affine", withExtension: "json"),
      let data = try? Data(contentsOf: url)
    else { return [:] }
    return (try? JSONDecoder().decode([String: [String: [String]]].self, from: data)) ?? [:]
  }()

  /// The weights of Fixtures/affine.py.
  static func weights(_ kind: String) -> [Float] {
    let count = 8 * columns
    var random = SplitMix(seed: UInt64((kinds.firstIndex(of: kind) ?? 0) + 1))
    let bytes = random.bytes(8 * count).map(Int.init)
    return (0..<count).map { index in
      let data = bytes[8 * index..<8 * index + 8]
      let start = data.startIndex
      let bell = -127 + (data[start] + data[start + 1] + data[start + 2] + data[start + 3]) >> 2
      let value =
        switch kind {
        case "negative": -1 - data[start]
        case "positive": 1 + data[start]
        case "constant": 93
        case "zero": 0
        case "heavy": bell << (data[start + 4] & 7)
        default: bell
        }
      return Float(value) * (kind == "tiny" ? 0x1p-20 : 0x1p-10)
    }
  }

  private func fnv(_ values: some Sequence<some UnsignedInteger>) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for value in values { hash = (hash ^ UInt64(value)) &* 0x100_0000_01B3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private func encoded(_ rows: [Float], _ importance: [Float]?, as type: GGMLType) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: rows.count / type.blockLength * type.blockBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    if let importance {
      try encodeRows(rows.span, columns: Self.columns, importance: importance.span, as: type, into: &raw)
    } else {
      try encodeRows(rows.span, columns: Self.columns, importance: nil, as: type, into: &raw)
    }
    return bytes
  }

  private func decoded(_ bytes: [UInt8], as type: GGMLType) -> [Float] {
    var floats = [Float](repeating: .nan, count: bytes.count / type.blockBytes * type.blockLength)
    var output = floats.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &output)
    return floats
  }

  @Test(arguments: plain) func plainBytesAndFloatsAreThoseOfMLX(format: AffineFormat) throws {
    let golden = try #require(Self.digests[format.name.replacing("-plain", with: "")])
    for kind in Self.kinds {
      let expected = try #require(golden[kind])
      let bytes = try encoded(Self.weights(kind), nil, as: format.type)
      #expect(fnv(bytes) == expected[0], "groups of \(kind) weights")
      #expect(fnv(decoded(bytes, as: format.type).map(\.bitPattern)) == expected[1], "floats of \(kind) weights")
    }
  }

  private func error(_ rows: [Float], _ importance: [Float], as type: GGMLType) throws -> Double {
    EncodeTests.error(
      decoded(try encoded(rows, importance, as: type), as: type), rows, columns: Self.columns, importance: importance)
  }

  /// Upper bounds of the error, relative to the plain encoder's, for normal weights and varying importance.
  static let gain = [2: 0.62, 3: 0.72, 4: 0.8, 5: 0.86, 6: 0.93, 8: 0.99]

  @Test(arguments: searched) func searchIsBetterThanPlainInEveryGroup(format: AffineFormat) throws {
    let other = AffineFormat(bits: format.bits, group: format.group, scales: format.scales, encoder: .plain)
    let plain = try #require(other).type
    let rows = EncodeTests.normal(16 * Self.columns, seed: 3).map { format.scales == .bf16 ? bfloat($0) : $0 }
    let importance = EncodeTests.normal(Self.columns, seed: 4).map { $0 * $0 + 1e-5 }
    let (mine, theirs) = (try error(rows, importance, as: format.type), try error(rows, importance, as: plain))
    let bound = try #require(Self.gain[format.bits])
    #expect(mine < bound * theirs, "\(format.name): \(mine) for \(theirs)")
    for kind in Self.kinds {
      let rows = Self.weights(kind)
      let searched = decoded(try encoded(rows, importance, as: format.type), as: format.type)
      let plainly = decoded(try encoded(rows, importance, as: plain), as: plain)
      for start in stride(from: 0, to: rows.count, by: format.group) {
        func error(_ floats: [Float]) -> Double {
          var sum = 0.0
          for index in start..<start + format.group {
            let difference = Double(floats[index]) - Double(rows[index])
            sum += Double(importance[index % Self.columns]) * difference * difference
          }
          return sum
        }
        // The codes of two sums that are equal in single precision may differ.
        #expect(error(searched) <= error(plainly) * 1.00001 + 1e-16, "\(kind), group at \(start)")
      }
    }
  }

  private func bfloat(_ value: Float) -> Float { Float(bitPattern: value.bitPattern & 0xFFFF_0000) }

  /// A row's bytes do not depend on its neighbours.
  @Test(arguments: [2, 3, 8]) func rowsAreIndependent(bits: Int) throws {
    let type = try #require(AffineFormat(bits: bits, group: 64, scales: .f16)).type
    let rows = EncodeTests.normal(3 * Self.columns, seed: 5)
    let importance = EncodeTests.normal(Self.columns, seed: 6).map { $0 * $0 + 1e-5 }
    let all = try encoded(rows, importance, as: type)
    for row in 0..<3 {
      let one = try encoded(
        Array(rows[row * Self.columns..<(row + 1) * Self.columns]), importance, as: type)
      #expect(one == Array(all[row * one.count..<(row + 1) * one.count]))
    }
  }

  @Test func namesAreReadAsTheyAreWritten() throws {
    for format in Self.plain + Self.searched {
      #expect(GGMLType(name: format.name) == format.type)
      #expect(format.type.affine == format)
      #expect(format.type.blockBytes == format.bits * format.group / 8 + 4 && format.type.blockLength == format.group)
    }
    #expect(GGMLType(name: "4bit") == GGMLType(name: "4BIT/64"))
    for name in ["7bit/64", "4bit/48", "4bit/", "4bits", "bit/64", "4bit/64-", "4bit/64-plain-f16"] {
      #expect(GGMLType(name: name) == nil, "\(name)")
    }
  }

  @Test func scalesThatAreNotFiniteAreFound() throws {
    for scales in AffineFormat.Scales.allCases {
      let type = try #require(AffineFormat(bits: 4, group: 32, scales: scales)).type
      var bytes = try encoded(Self.weights("normal"), nil, as: type)
      #expect(firstNonFiniteBlock(bytes.span.bytes, as: type) == nil)
      bytes[5 * type.blockBytes + 3] = scales == .f16 ? 0x7C : 0x7F
      bytes[5 * type.blockBytes + 2] = 0x80
      #expect(firstNonFiniteBlock(bytes.span.bytes, as: type) == 5)
    }
  }
}
