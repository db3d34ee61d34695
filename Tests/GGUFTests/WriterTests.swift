import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

@Suite struct WriterTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  /// Metadata and tensors of any type are read as they were written, in any order of writing.
  @Test(arguments: 0..<40) func roundTrip(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    var metadata = Metadata()
    metadata["general.alignment"] = .uint32([32, 64, 1, 4096][seed % 4])
    for index in 0..<Int.random(in: 0...20, using: &random) {
      metadata["key.\(index).\(random.next())"] = randomValue(&random)
    }
    let types: [GGMLType] = [.f32, .f16, .bf16, .q8_0, .q4_K, .iq2_xxs, .i8, .i32]
    let tensors = (0..<Int.random(in: 0...12, using: &random)).map { index in
      let type = types.randomElement(using: &random)!
      let columns = type.blockLength * Int.random(in: 1...3, using: &random)
      let others = (0..<Int.random(in: 0...2, using: &random)).map { _ in Int.random(in: 0...4, using: &random) }
      return TensorInfo(name: "tensor.\(index)", shape: Shape([columns] + others)!, type: type)
    }
    let layout = GGUFLayout(metadata: metadata, tensors: tensors)
    let path = directory.path("round.gguf")
    let writer = try GGUFWriter(path: path, layout: layout, overwrite: true)
    let data = tensors.map { tensor in
      (0..<tensor.shape.bytes(as: tensor.type)!).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    for index in tensors.indices.shuffled(using: &random) {
      let rowBytes = tensors[index].type.rowBytes(columns: tensors[index].shape.columns)!
      for row in (0..<tensors[index].shape.rows).shuffled(using: &random) {
        let bytes = Array(data[index][row * rowBytes..<(row + 1) * rowBytes])
        try writer.write(bytes.span.bytes, tensor: index, row: row)
      }
    }
    try writer.commit()
    #expect(try Data(contentsOf: URL(filePath: path)).count == layout.totalBytes)
    let model = try GGUFFile(path: path)
    #expect(model.metadata == metadata)
    #expect(model.metadata.keys == metadata.keys)
    #expect(model.tensors == tensors)
    for (tensor, expected) in zip(tensors, data) {
      var bytes = [UInt8](repeating: 0, count: expected.count)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try model.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
      #expect(bytes == expected)
    }
  }

  private func randomValue(_ random: inout SplitMix) -> MetadataValue {
    let bits = random.next()
    let count = Int.random(in: 0...5, using: &random)
    let words = (0..<count).map { _ in random.next() }
    switch Int.random(in: 0..<13, using: &random) {
    case 0: return .uint8(UInt8(truncatingIfNeeded: bits))
    case 1: return .int16(Int16(truncatingIfNeeded: bits))
    case 2: return .uint32(UInt32(truncatingIfNeeded: bits))
    case 3: return .float32(Float(bits))
    case 4: return .bool(bits & 1 == 1)
    case 5: return .string(String(repeating: "é", count: count))
    case 6: return .int64(Int64(bitPattern: bits))
    case 7: return .float64(Double(bits))
    case 8: return .array(.uint64(words))
    case 9: return .array(.string(words.map { String($0, radix: 36) }))
    case 10: return .array(.bool(words.map { $0 & 1 == 0 }))
    case 11: return .array(.array(words.map { .uint16([UInt16(truncatingIfNeeded: $0)]) }))
    default: return .array(.int8(words.map { Int8(truncatingIfNeeded: $0) }))
    }
  }

  /// A reader of the unfinished file sees every key and tensor.
  @Test func theHeaderIsCompleteFirst() throws {
    let tensors = [TensorInfo(name: "t", shape: Shape([64, 4])!, type: .q8_0)]
    let layout = GGUFLayout(metadata: ["general.architecture": .string("llama")], tensors: tensors)
    let path = directory.path("early.gguf")
    let writer = try GGUFWriter(path: path, layout: layout, overwrite: false)
    let early = try GGUFFile(path: path + ".part")
    #expect(early.tensors == tensors)
    #expect(directory.contents == ["early.gguf.part"])
    try writer.commit()
    #expect(directory.contents == ["early.gguf"])
  }

  @Test func anAbandonedFileLeavesNothing() throws {
    do {
      let layout = GGUFLayout(metadata: [:], tensors: [])
      let writer = try GGUFWriter(path: directory.path("gone.gguf"), layout: layout, overwrite: false)
      #expect(writer.paths.count == 1)
    }
    #expect(directory.contents.isEmpty)
  }

  @Test func aFileThatNoDiskHolds() throws {
    let tensors = [TensorInfo(name: "t", shape: Shape([1 << 30, 1 << 30])!, type: .f32)]
    let layout = GGUFLayout(metadata: [:], tensors: tensors)
    let error = try #require(throws: FileError.self) {
      try GGUFWriter(path: directory.path("huge.gguf"), layout: layout, overwrite: false)
    }
    #expect(error.operation == .reserve && (error.lacking ?? 0) > 1 << 60)
    #expect(directory.contents.isEmpty)
  }
}
