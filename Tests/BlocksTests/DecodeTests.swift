import Blocks
import Foundation
import Tensors
import TestSupport
import Testing

/// Decoding against gguf-py: digests of 100,000 pseudo-random blocks per type, made by Fixtures/decode.py.
@Suite struct DecodeTests {
  static let blocks = 100_000
  static let group = 1_000

  static let digests: [String: [String]] = {
    guard let url = Bundle.module.url(forResource: "Fixtures/decode", withExtension: "json"),
      let data = try? Data(contentsOf: url)
    else { return [:] }
    return (try? JSONDecoder().decode([String: [String]].self, from: data)) ?? [:]
  }()

  @Test(arguments: GGMLType.allCases.filter { $0.canEncode && $0 != .f32 })
  func bitsEqualTheReference(type: GGMLType) throws {
    let expected = try #require(Self.digests[type.name])
    var random = SplitMix(seed: UInt64(type.rawValue))
    let bytes = random.bytes(Self.blocks * type.blockBytes)
    var floats = [Float](repeating: 0, count: Self.group * type.blockLength)
    for (index, digest) in expected.enumerated() {
      let size = Self.group * type.blockBytes
      var output = floats.mutableSpan
      decodeRows(bytes.span.bytes.extracting(index * size..<(index + 1) * size), as: type, into: &output)
      #expect(fnv(floats) == digest, "blocks \(index * Self.group) and on")
    }
  }

  private func fnv(_ floats: [Float]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for value in floats {
      hash = (hash ^ UInt64(value.isNaN ? 0x7FC0_0000 : value.bitPattern)) &* 0x100_0000_01B3
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
