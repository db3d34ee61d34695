import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

@Suite struct ShardTests {
  let directory: TemporaryDirectory
  let model: GGUFFile

  /// Seven F32 tensors of 3 to 9 rows of 40 columns.
  init() throws {
    directory = try TemporaryDirectory()
    var random = SplitMix(seed: 11)
    let path = directory.path("whole.gguf")
    let tensors = (3..<10).map { TensorInfo(name: "t\($0)", shape: Shape([40, $0])!, type: .f32) }
    let metadata: Metadata = ["general.architecture": .string("llama"), "general.name": .string("toy")]
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors), overwrite: false)
    for index in tensors.indices {
      let values = random.floats(tensors[index].shape.count, bound: 1)
      try writer.write(values.span.bytes, tensor: index, row: 0)
    }
    try writer.commit()
    model = try GGUFFile(path: path)
  }

  func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

  @Test(
    arguments: [ShardLimit.bytes(2500), .bytes(4000), .bytes(1), .tensors(1), .tensors(3), .tensors(6)], [false, true])
  func splitsAndMerges(limit: ShardLimit, emptyFirst: Bool) throws {
    let paths = try GGUFSplit.write(
      model, to: directory.path("part.gguf"), limit: limit, emptyFirst: emptyFirst)
    #expect(paths.count > 1)
    #expect(paths[0].hasSuffix("part-00001-of-0000\(paths.count).gguf"))
    for path in paths {
      let header = try GGUFHeader(file: PositionedFile(path: path))
      switch limit {
      case .bytes(let maximum):
        #expect(try bytes(path).count <= maximum || header.tensors.count <= 1)
      case .tensors(let maximum): #expect(header.tensors.count <= maximum)
      }
      #expect(header.metadata["split.count"] == .uint16(UInt16(paths.count)))
      #expect(header.metadata["split.tensors.count"] == .int32(7))
    }
    let shards = try GGUFFile(path: paths[0])
    #expect(shards.metadata == model.metadata)
    #expect(shards.tensors == model.tensors)
    for tensor in model.tensors {
      #expect(try values(of: tensor.name, in: shards) == values(of: tensor.name, in: model))
    }
    #expect(try GGUFHeader(file: PositionedFile(path: paths[0])).tensors.isEmpty == emptyFirst)
    let merged = try GGUFSplit.write(shards, to: directory.path("merged.gguf"), limit: nil)
    #expect(try bytes(merged[0]) == bytes(model.paths[0]))
  }

  @Test func oneShardIsAPlainFile() throws {
    let paths = try GGUFSplit.write(model, to: directory.path("one.gguf"), limit: .tensors(7))
    #expect(paths == [directory.path("one.gguf")])
    #expect(try bytes(paths[0]) == bytes(model.paths[0]))
  }

  @Test func sizesAreKnownBeforehand() throws {
    let shards = try GGUFShards(metadata: model.metadata, tensors: model.tensors, limit: .bytes(3000))
    let paths = try GGUFSplit.write(model, to: directory.path("sized.gguf"), limit: .bytes(3000))
    #expect(try paths.map { try bytes($0).count } == shards.layouts.map(\.totalBytes))
  }

  @Test func nothingToPutInAShard() {
    #expect(throws: FormatError.self) {
      try GGUFShards(metadata: model.metadata, tensors: model.tensors, limit: .tensors(0))
    }
  }

  @Test func anOutputThatIsTheInput() throws {
    #expect(throws: FormatError.self) {
      try GGUFSplit.write(model, to: model.paths[0], limit: nil, overwrite: true)
    }
    #expect(throws: FileError(.create, path: directory.path("whole.gguf"), code: EEXIST)) {
      try GGUFWriter(
        path: directory.path("whole.gguf"), layout: GGUFLayout(metadata: [:], tensors: []), overwrite: false)
    }
  }

  @Test func aMissingShardIsNamed() throws {
    let paths = try GGUFSplit.write(model, to: directory.path("gap.gguf"), limit: .tensors(3))
    try FileManager.default.removeItem(atPath: paths[1])
    let error = try #require(throws: FormatError.self) { try GGUFFile(path: paths[0]) }
    #expect(error.path == paths[1] && error.hint?.contains("incomplete") == true)
    let head = try GGUFFile(path: paths[0], headerOnly: true)
    #expect(head.missingShards == 1 && head.tensors.count == 4)
  }

  @Test func onlyTheFirstShardOpensTheModel() throws {
    let paths = try GGUFSplit.write(model, to: directory.path("order.gguf"), limit: .tensors(3))
    let error = try #require(throws: FormatError.self) { try GGUFFile(path: paths[1]) }
    #expect(error.hint?.contains("-00001-of-00003.gguf") == true)
    let renamed = directory.path("renamed.gguf")
    try FileManager.default.moveItem(atPath: paths[0], toPath: renamed)
    #expect(throws: FormatError.self) { try GGUFFile(path: renamed) }
  }

  @Test func shardsOfAnotherModelAreRefused() throws {
    let paths = try GGUFSplit.write(model, to: directory.path("mixed.gguf"), limit: .tensors(3))
    try bytes(paths[2]).write(to: URL(filePath: paths[1]))
    let error = try #require(throws: FormatError.self) { try GGUFFile(path: paths[0]) }
    #expect(error.path == paths[1] && error.subject == "key split.no")
    // A shard with the right index, but with tensors of another shard.
    try bytes(paths[0]).write(to: URL(filePath: paths[1]))
    #expect(throws: FormatError.self) { try GGUFFile(path: paths[0]) }
  }
}
