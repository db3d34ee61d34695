import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

let goldenPath = Bundle.module.url(forResource: "Fixtures/golden", withExtension: "gguf")!.path

/// All rows of a tensor as floats.
func values(of name: String, in model: some ModelSource) throws -> [Float] {
  let tensor = try #require(model.tensor(named: name))
  var values = [Float](repeating: 0, count: tensor.shape.count)
  var span = values.mutableSpan
  try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
  return values
}

/// A file of gguf-py.
@Suite struct GoldenTests {
  let model: GGUFFile
  let bytes: [UInt8]

  init() throws {
    model = try GGUFFile(path: goldenPath)
    bytes = Array(try Data(contentsOf: URL(filePath: goldenPath)))
  }

  @Test func everyKindOfValue() throws {
    let m = model.metadata
    #expect(m.count == 26)
    #expect(m["test.u8"] == .uint8(200))
    #expect(m["test.i8"] == .int8(-100))
    #expect(m["test.u16"] == .uint16(60000))
    #expect(m["test.i16"] == .int16(-30000))
    #expect(m["test.u32"] == .uint32(4_000_000_000))
    #expect(m["test.i32"] == .int32(-2_000_000_000))
    #expect(m["test.f32"] == .float32(0.1))
    #expect(m["test.u64"] == .uint64((1 << 63) + 5))
    #expect(m["test.i64"] == .int64(-(1 << 62)))
    #expect(m["test.f64"] == .float64(0.1))
    #expect(m["test.bool"] == .bool(true))
    #expect(m["test.string"] == .string("grüße 数 🙂"))
    #expect(m["test.array.u8"] == .array(.uint8([1, 2, 255])))
    #expect(m["test.array.i8"] == .array(.int8([-1, 2])))
    #expect(m["test.array.u16"] == .array(.uint16([1, 65535])))
    #expect(m["test.array.i16"] == .array(.int16([-5, 5])))
    #expect(m["test.array.u32"] == .array(.uint32([7])))
    #expect(m["test.array.i32"] == .array(.int32([-1, 0, 1])))
    #expect(m["test.array.f32"] == .array(.float32([0.5, -2.25])))
    #expect(m["test.array.bool"] == .array(.bool([true, false])))
    #expect(m["test.array.u64"] == .array(.uint64([.max])))
    #expect(m["test.array.i64"] == .array(.int64([.min])))
    #expect(m["test.array.f64"] == .array(.float64([1e300])))
    #expect(m["test.array.string"] == .array(.string(["a", "", "ö"])))
    #expect(m["test.array.nested"] == .array(.array([.int32([1, 2]), .int32([3])])))
  }

  @Test func gettersNameTheKey() throws {
    #expect(try model.metadata.string("general.architecture") == "llama")
    #expect(try model.metadata.int("test.i8") == -100)
    #expect(try model.metadata.float("test.f64") == 0.1)
    #expect(try model.metadata.strings("test.array.string") == ["a", "", "ö"])
    // 2^63 + 5 does not fit.
    #expect(model.metadata.optionalInt("test.u64") == nil)
    #expect(throws: MetadataError(key: "test.none", "is missing")) { try model.metadata.int("test.none") }
    #expect(throws: MetadataError(key: "test.string", "is not an integer")) { try model.metadata.int("test.string") }
  }

  @Test func tensorsAndTheirRows() throws {
    #expect(model.tensors.map(\.name) == ["f32", "f16", "bf16", "q8_0", "stack"])
    #expect(model.tensors.map(\.shape.dimensions) == [[5, 3], [64, 3], [64, 3], [64, 3], [32, 2, 3]])
    let rows = (0..<192).map { Float($0) / 8 - 10 }
    #expect(try values(of: "f32", in: model) == (0..<3).flatMap { rows[$0 * 64..<$0 * 64 + 5] })
    #expect(try values(of: "f16", in: model) == rows)
    #expect(try values(of: "bf16", in: model) == rows)
    #expect(try values(of: "stack", in: model) == rows)
    let decoded = try values(of: "q8_0", in: model)
    // Half a step of the block's scale, which is at most 13.875 / 127, and a half-precision scale.
    #expect(zip(decoded, rows).allSatisfy { abs($0 - $1) <= 13.875 / 127 * 0.51 })
  }

  @Test func rowsAreReadAlone() throws {
    let tensor = try #require(model.tensor(named: "stack"))
    var row = [Float](repeating: 0, count: 64)
    var span = row.mutableSpan
    try model.readRows(of: tensor, rows: 3..<5, into: &span)
    #expect(row == (96..<160).map { Float($0) / 8 - 10 })
  }

  /// The layout of the same content has the same bytes.
  @Test func layoutEqualsTheirs() throws {
    let layout = GGUFLayout(metadata: model.metadata, tensors: model.tensors)
    #expect(layout.totalBytes == bytes.count)
    #expect(layout.header.elementsEqual(bytes.prefix(layout.dataOffset)))
    let directory = try TemporaryDirectory()
    let path = directory.path("copy.gguf")
    try GGUFSplit.write(model, to: path, limit: nil)
    #expect(Array(try Data(contentsOf: URL(filePath: path))) == bytes)
  }

  @Test func versionTwoReadsTheSame() throws {
    var old = bytes
    old[4] = 2
    let header = try GGUFHeader(bytes: old, path: "old.gguf")
    #expect(header.version == 2)
    #expect(header.metadata == model.metadata)
    #expect(header.tensors == model.tensors)
  }

  /// The first bytes of a download are enough for a plan.
  @Test func headerWithoutData() throws {
    let layout = GGUFLayout(metadata: model.metadata, tensors: model.tensors)
    let directory = try TemporaryDirectory()
    let path = directory.path("head.gguf")
    try Data(layout.header).write(to: URL(filePath: path))
    #expect(throws: FormatError.self) { try GGUFFile(path: path) }
    let head = try GGUFFile(path: path, headerOnly: true)
    #expect(head.tensors == model.tensors)
    #expect(throws: FileError.self) { try values(of: "f32", in: head) }
  }

  /// Every proper prefix of a header is refused.
  @Test func truncatedHeaders() throws {
    let end = GGUFLayout(metadata: model.metadata, tensors: model.tensors).header.count - 32
    for length in 0..<end {
      #expect(throws: FormatError.self, "\(length) bytes") {
        try GGUFHeader(bytes: Array(bytes.prefix(length)), path: "cut.gguf", headerOnly: true)
      }
    }
  }
}
