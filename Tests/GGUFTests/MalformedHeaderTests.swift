import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

@Suite struct MalformedHeaderTests {
  @Test(arguments: Malformed.all) func isRefused(_ case: Malformed) throws {
    let error = try #require(throws: FormatError.self) { try GGUFHeader(bytes: `case`.bytes, path: "bad.gguf") }
    #expect(error.path == "bad.gguf")
    #expect(error.subject == `case`.subject)
    #expect(error.reason.contains(`case`.says), "\(error)")
    #expect(error.description.hasPrefix("bad.gguf"))
  }

  /// A header without the faults above is read, so each case is malformed only by its fault.
  @Test func theSameHeaderWithoutFaultIsRead() throws {
    var header = RawHeader(tensors: 2, keys: 1)
    header.key("general.alignment", type: 4) { $0.append(UInt32(64)) }
    header.tensor("t", [16], offset: 0)
    header.tensor("u", [4], offset: 64)
    while header.bytes.count % 64 != 0 { header.bytes.append(0) }
    header.bytes += [UInt8](repeating: 0, count: 80)
    let read = try GGUFHeader(bytes: header.bytes, path: "good.gguf")
    #expect(read.tensors.count == 2 && read.alignment == 64)
    #expect(read.offsets == [read.dataOffset, read.dataOffset + 64])
  }

  /// Mutated files of 3 KB are read or refused, without a crash or a large allocation.
  ///
  /// The test runs in a separate process, which ends when it allocates more than 256 MB.
  @Test func mutatedFiles() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let seed: UInt64 = 20_261_124
      let golden = Array(try Data(contentsOf: URL(filePath: goldenPath)))
      limitMemory(more: 256 << 20)
      var random = SplitMix(seed: seed)
      var refused = 0
      for _ in 0..<20_000 {
        let bytes = mutate(golden, headerBytes: 1700, &random)
        do {
          let header = try GGUFHeader(bytes: bytes, path: "mutated.gguf", headerOnly: Bool.random(using: &random))
          precondition(header.tensors.count <= bytes.count)
        } catch is FormatError {
          refused += 1
        }
      }
      precondition(refused > 5_000, "\(refused) refused, seed \(seed)")
    }
    // The output of the process, if it crashed.
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}

private func mutate(_ golden: [UInt8], headerBytes: Int, _ random: inout SplitMix) -> [UInt8] {
  var bytes = golden
  for _ in 0..<Int.random(in: 1...4, using: &random) {
    let index = Int.random(in: 0..<min(headerBytes, bytes.count), using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...16, using: &random)))
    case 3: bytes.insert(contentsOf: (0..<8).map { _ in UInt8.random(in: 0...255, using: &random) }, at: index)
    case 4: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
    default:
      // An extreme count or length.
      for i in index..<min(bytes.count, index + 8) { bytes[i] = random.next() & 1 == 0 ? 0xFF : 0x7F }
    }
    if bytes.isEmpty { return bytes }
  }
  return bytes
}
