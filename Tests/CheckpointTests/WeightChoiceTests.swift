import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Selection of a directory's weight files. Files that contradict each other are never chosen without a message.
@Suite struct WeightChoiceTests {
  private let model: DemoCopy
  private let content: SafetensorsContent

  init() throws {
    model = try ReferenceModel.copy("llama2")
    content = try SafetensorsContent(path: model.directory.path("model.safetensors"))
  }

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  private func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: model.directory.path(name))
  }

  /// Writes the model as shards. All its norms are `norm`, which identifies it.
  private func writeShards(
    _ count: Int, norm: Double, without missing: Set<Int> = [], indexed: Bool = true,
    name: (Int, Int) -> String = { String(format: "model-%05d-of-%05d.safetensors", $0 + 1, $1) }
  ) throws {
    var shards: [String: String] = [:]
    for shard in 0..<count {
      var part = SafetensorsContent()
      for tensor in content.names.enumerated().filter({ $0.offset % count == shard }).map(\.element) {
        part[tensor] = content[tensor]
        if tensor.hasSuffix("norm.weight") {
          part[tensor] = .init([Double](repeating: norm, count: 32), dtype: "F16", shape: [32])
        }
        shards[tensor] = name(shard, count)
      }
      if !missing.contains(shard) { try part.write(to: model.directory.path(name(shard, count))) }
    }
    if indexed { try write(index: shards) }
  }

  private func write(index shards: [String: String]) throws {
    try JSONSerialization.data(withJSONObject: ["weight_map": shards])
      .write(to: model.directory.url.appending(path: Self.index))
  }

  /// The first weight of the last norm.
  private func norm(_ directory: CheckpointDirectory) throws -> Float {
    let tensor = try #require(directory.tensor(named: "output_norm.weight"))
    var values = [Float](repeating: .nan, count: 32)
    var span = values.mutableSpan
    try directory.readRows(of: tensor, rows: 0..<1, into: &span)
    return values[0]
  }

  private func expectError(
    _ parts: String..., kind: FormatError.Kind = .data, at name: String? = nil,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let path = name.map { model.directory.path($0) } ?? model.path
    let error = try #require(throws: FormatError.self, sourceLocation: location) {
      try CheckpointDirectory(path: path)
    }
    #expect(error.kind == kind, "\(error)", sourceLocation: location)
    let text = error.description + " " + (error.hint ?? "")
    for part in parts { #expect(text.contains(part), "\(text)", sourceLocation: location) }
  }

  @Test func twoCompleteModelsAreRefused() throws {
    try writeShards(2, norm: 7)
    try expectError(
      "holds the model more than once", "model.safetensors and model.safetensors.index.json (2 shards)",
      model.directory.path(Self.single) + " or ")
    #expect(try norm(CheckpointDirectory(path: model.directory.path(Self.single))) != 7)
    #expect(try norm(CheckpointDirectory(path: model.directory.path(Self.index))) == 7)
    #expect(try norm(CheckpointDirectory(path: model.directory.path("model-00002-of-00002.safetensors"))) == 7)
  }

  @Test func staleIndexIsIgnored() throws {
    try writeShards(2, norm: 7, without: [0, 1])
    let directory = try CheckpointDirectory(path: model.path)
    #expect(directory.notes == [.staleIndex(missing: "model-00001-of-00002.safetensors", read: Self.single)])
    #expect(try norm(directory) != 7)
  }

  @Test func shardsOfAnotherNumberReplaceTheIndex() throws {
    try remove(Self.single)
    try writeShards(3, norm: 3, indexed: false)
    try writeShards(2, norm: 2, without: [1])
    let directory = try CheckpointDirectory(path: model.path)
    #expect(
      directory.notes == [
        .staleIndex(
          missing: "model-00002-of-00002.safetensors", read: "model-00001-of-00003.safetensors (3 shards)")
      ])
    #expect(try norm(directory) == 3)
  }

  /// Among two complete models, the one that config.json describes is read.
  @Test(arguments: [(1, Float(7)), (2, Float(1.5))])
  func filesThatFitAreChosen(layers: Int, expected: Float) throws {
    try model.edit { $0["model.norm.weight"] = .init([Double](repeating: 1.5, count: 32), dtype: "F16", shape: [32]) }
    var shallow = content
    for name in content.names where name.hasPrefix("model.layers.1.") { shallow[name] = nil }
    shallow["model.norm.weight"] = .init([Double](repeating: 7, count: 32), dtype: "F16", shape: [32])
    try shallow.write(to: model.directory.path("model-00001-of-00001.safetensors"))
    try write(
      index: Dictionary(uniqueKeysWithValues: shallow.names.map { ($0, "model-00001-of-00001.safetensors") }))
    try model.set("num_hidden_layers", layers)
    let directory = try CheckpointDirectory(path: model.path)
    #expect(try norm(directory) == expected)
    guard case .passedOver(let files, _, let read) = directory.notes.first, directory.notes.count == 1 else {
      Issue.record("\(directory.notes)")
      return
    }
    let names = [Self.single, "model.safetensors.index.json (one file)"]
    #expect([files, read] == (layers == 1 ? names : names.reversed()))
  }

  @Test(arguments: [1, 3])
  func shardsWithoutAnIndex(count: Int) throws {
    try remove(Self.single)
    try writeShards(count, norm: 4, indexed: false)
    let directory = try CheckpointDirectory(path: model.path)
    #expect(directory.notes == [.shardsByName(count: count)])
    #expect(try norm(directory) == 4)
  }

  /// DeepSeek's shard count has six digits. Some writers count from zero.
  @Test(arguments: ["model-%05d-of-%06d.safetensors", "model-%d-of-%d.safetensors"], [0, 1])
  func numberings(format: String, first: Int) throws {
    try remove(Self.single)
    try writeShards(3, norm: 4, indexed: false) { String(format: format, $0 + first, $1) }
    #expect(try norm(CheckpointDirectory(path: model.path)) == 4)
  }

  @Test func missingShardsAreNamed() throws {
    try remove(Self.single)
    try writeShards(5, norm: 4, without: [1], indexed: false)
    try expectError("model-00002-of-00005.safetensors", "does not exist", "the download is incomplete", kind: .missing)
    try remove("model-00004-of-00005.safetensors")
    try expectError("model-00002-of-00005.safetensors", "2 of 5 shards are missing", kind: .missing)
    try writeShards(5, norm: 4, without: [1, 3])
    try expectError("model-00002-of-00005.safetensors", Self.index, "2 of 5 shards are missing", kind: .missing)
  }

  @Test func twoSetsOfShards() throws {
    try remove(Self.single)
    try writeShards(2, norm: 2, indexed: false)
    try writeShards(3, norm: 3, indexed: false)
    try expectError("(2 shards)", "(3 shards)", model.directory.path("model-00001-of-00003.safetensors"))
    #expect(try norm(CheckpointDirectory(path: model.directory.path("model-00002-of-00003.safetensors"))) == 3)
    try writeShards(2, norm: 2)
    try expectError("model.safetensors.index.json (2 shards)", "(3 shards)")
    try remove("model-00003-of-00003.safetensors")
    try remove(Self.index)
    let directory = try CheckpointDirectory(path: model.path)
    #expect(
      directory.notes == [
        .shardsByName(count: 2),
        .filesNotRead(["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"]),
      ])
    #expect(try norm(directory) == 2)
  }

  /// An index of a single file has no effect.
  @Test func indexOfTheSingleFile() throws {
    try write(index: Dictionary(uniqueKeysWithValues: content.names.map { ($0, Self.single) }))
    #expect(try CheckpointDirectory(path: model.path).notes.isEmpty)
    try write(index: Dictionary(uniqueKeysWithValues: (content.names + ["ghost"]).map { ($0, Self.single) }))
    #expect(
      try CheckpointDirectory(path: model.path).notes == [.indexDisagrees(tensor: "ghost", file: Self.single)])
  }

  @Test func tensorInAnotherShardThanTheIndexSays() throws {
    try remove(Self.single)
    try writeShards(3, norm: 4)
    let shards = try JSONSerialization.jsonObject(
      with: Data(contentsOf: model.directory.url.appending(path: Self.index)))
    var map = try #require((shards as? [String: Any])?["weight_map"] as? [String: String])
    let name = content.names[0]
    map[name] = "model-00002-of-00003.safetensors"
    try write(index: map)
    try expectError(
      "tensor \(name)", "should be in model-00002-of-00003.safetensors, which does not hold it",
      "model-00001-of-00003.safetensors does")
    #expect(try norm(CheckpointDirectory(path: model.directory.path("model-00001-of-00003.safetensors"))) == 4)
    map[name] = nil
    try write(index: map)
    #expect(try CheckpointDirectory(path: model.path).notes == [.unlistedTensors(count: 1, first: name)])
  }

  /// A tensor may be in two shards if both are equal.
  @Test func tensorInTwoShards() throws {
    try remove(Self.single)
    try writeShards(2, norm: 4)
    let name = content.names[0]
    try model.edit("model-00002-of-00002.safetensors") { $0[name] = content[name] }
    #expect(try CheckpointDirectory(path: model.path).notes.isEmpty)
    try model.edit("model-00002-of-00002.safetensors") {
      $0[name]?.bytes[5] ^= 1
    }
    try expectError(
      "model-00002-of-00002.safetensors", "tensor \(name)",
      "differs from the tensor of this name in model-00001-of-00002")
  }

  @Test func brokenIndexIsNamed() throws {
    for text in ["{", "{}", #"{"weight_map":{}}"#] {
      try Data(text.utf8).write(to: model.directory.url.appending(path: Self.index))
      try expectError(Self.index, "name a safetensors file beside it")
      _ = try CheckpointDirectory(path: model.directory.path(Self.single))
    }
  }

  /// `transformers_weights` of config.json names the file, as in `transformers` 5.
  @Test func fileOfAnotherName() throws {
    try FileManager.default.moveItem(
      atPath: model.directory.path(Self.single), toPath: model.directory.path("model.fp16.safetensors"))
    try expectError("holds no model.safetensors, but model.fp16.safetensors", "name the file to read", kind: .missing)
    _ = try CheckpointDirectory(path: model.directory.path("model.fp16.safetensors"))
    try model.set("transformers_weights", "model.fp16.safetensors")
    _ = try CheckpointDirectory(path: model.path)
    try expectError("none.safetensors: no such file or directory", kind: .missing, at: "none.safetensors")
  }

  /// `safetensors.torch.save_model` stores matrices that share memory once, and lists the other names.
  @Test func aliasesOfTheHeader() throws {
    try model.edit {
      $0["model.embed_tokens.weight"] = nil
      $0.metadata["model.embed_tokens.weight"] = "lm_head.weight"
    }
    let directory = try CheckpointDirectory(path: model.path)
    #expect(directory.tensor(named: "output.weight") != nil && directory.tensor(named: "token_embd.weight") != nil)
  }
}
