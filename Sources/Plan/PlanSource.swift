import Checkpoint
import Files
import Foundation
import GGUF
import Quantize
import Tensors

/// The model of a plan, opened without weights.
public struct PlanSource: Sendable {
  /// The model's metadata and shapes.
  public let model: any ModelSource
  /// Metadata bytes of the model's published files, if known.
  public let publishedMetadata: Int?
  /// Whether the tensors' types are those of an existing file, which then gets its own row.
  public let isFile: Bool
  /// Whether the model is a GGUF, or a part of one.
  public let isGGUF: Bool
  /// The folder with config.json and the tokenizer; nil where there is none.
  public var directory: String?
  /// Bytes of the weights as they are published: with FP8, half of what the model's types say.
  public let storedBytes: Int
  /// The findings on config.json; nil for a GGUF.
  public let configReview: ConfigReview?
  /// Blocks for multi-token prediction that config.json declares, where no weights show whether they exist.
  public private(set) var declaredPrediction = 0
  /// The fault for which the weights of a folder, or its tokenizer, were not read, and config.json alone was.
  public private(set) var fault: String?
  /// The names of the tensors that keep the blocks in which they are published.
  public var publishedBlocks: Set<String> { model.publishedBlocks(isCheckpoint: !isGGUF) }

  /// Opens a GGUF (the first shard; its first bytes are enough), a folder with config.json, a config.json, or a known
  /// shape by name. An existing path takes precedence over a name.
  ///
  /// - Parameters:
  ///   - ignoring: keys of config.json that would be refused.
  ///   - carriesPrediction: whether blocks for multi-token prediction are a part of the model.
  ///   - readsWeights: whether the headers of a folder's weights are read, in addition to config.json.
  /// - Throws: ``PlanError``, `RefusedConfig`, `UnneededIgnoring`, `FormatError`, `FileError`.
  public init(
    _ source: String, ignoring: [String] = [], carriesPrediction: Bool = true, readsWeights: Bool = true
  ) throws {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory) else {
      guard let shape = KnownShape(named: source) else {
        throw PlanError(
          .missing, topic: .shape, "\(source): no such file or directory, and not the name of a known shape")
      }
      let shapes = try ModelShapes(
        configuration: shape.config, name: shape.name, ignoring: ignoring, carriesPrediction: carriesPrediction)
      self.init(shapes, metadata: shape.metadataBytes, storedBytes: shapes.storedBytes)
      declaredPrediction = shapes.predictionBlocks
      return
    }
    if isDirectory.boolValue {
      let directory = try ModelLocation(source).directory
      guard ModelShapes.isDeclared(in: directory) else {
        throw PlanError(
          .missing, "\(directory): holds no config.json",
          hint: "name a config.json, a folder with one, or a GGUF file (of shards the first)")
      }
      var fault: String?
      if readsWeights, Self.hasWeights(directory) {
        do {
          let model = try CheckpointDirectory(
            path: directory, ignoring: ignoring, carriesPrediction: carriesPrediction)
          let bytes = try model.files.reduce(0) { try $0 + PositionedFile(path: $1).size }
          self.init(model, storedBytes: bytes, review: model.configReview)
          self.directory = directory
          return
        } catch {
          fault = "\(error)"
        }
      }
      // A plan needs no weights. Faults of config.json are found again.
      let shapes = try Self.explaining {
        try ModelShapes(path: directory, ignoring: ignoring, carriesPrediction: carriesPrediction)
      }
      self.init(
        Self.withTokenizer(shapes, directory: directory), storedBytes: shapes.storedBytes, review: shapes.configReview)
      self.directory = directory
      self.fault = fault
      declaredPrediction = shapes.predictionBlocks
    } else if source.lowercased().hasSuffix(".json") {
      let folder = source.lastIndex(of: "/").map { String(source[..<$0]) } ?? "."
      do {
        let shapes = try Self.explaining {
          try ModelShapes(path: source, ignoring: ignoring, carriesPrediction: carriesPrediction)
        }
        self.init(shapes, storedBytes: shapes.storedBytes, review: shapes.configReview)
        declaredPrediction = shapes.predictionBlocks
      } catch let error as FormatError {
        // A directory's config.json may declare weights that can't be read, where those beside it are plain.
        guard readsWeights, URL(filePath: source).lastPathComponent == "config.json", Self.hasWeights(folder),
          let model = try? CheckpointDirectory(
            path: folder, ignoring: ignoring, carriesPrediction: carriesPrediction)
        else { throw error }
        let bytes = try model.files.reduce(0) { try $0 + PositionedFile(path: $1).size }
        self.init(model, storedBytes: bytes, review: model.configReview)
      }
      directory = folder
    } else {
      if let key = ignoring.first { throw UnneededIgnoring(path: source, key: key) }
      let file = try GGUFFile(path: source, headerOnly: true)
      guard file.missingShards == 0, !file.tensors.isEmpty else {
        let promised = try GGUFHeader(file: PositionedFile(path: source), headerOnly: true)
          .metadata.optionalInt("split.tensors.count")
        guard let promised, !file.tensors.isEmpty else {
          throw PlanError(
            .data, "\(source): holds no tensors, and so no shapes",
            hint: "put the next shard, or its first bytes, beside it")
        }
        self.init(try TypedShapes(completing: file, promised: promised), isGGUF: true)
        return
      }
      self.init(file, isFile: true, isGGUF: true)
    }
  }

  private init(
    _ model: any ModelSource, metadata: Int? = nil, isFile: Bool = false, isGGUF: Bool = false,
    storedBytes: Int? = nil,
    review: ConfigReview? = nil
  ) {
    self.model = model
    self.storedBytes = storedBytes ?? model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    configReview = review
    publishedMetadata = metadata
    self.isFile = isFile
    self.isGGUF = isGGUF
  }

  /// Adds the known architectures and a workaround to the error about an unknown one.
  private static func explaining(_ open: () throws -> ModelShapes) throws -> ModelShapes {
    do {
      return try open()
    } catch let error as FormatError where error.subject == "key architectures" {
      throw PlanError(
        .data,
        "\(error.description); of a known one, a plan looks for hidden_size, num_hidden_layers, "
          + "num_attention_heads, num_key_value_heads, intermediate_size, vocab_size and max_position_embeddings",
        hint: "plan from the first bytes of a GGUF of that model, whose header has all shapes"
          + (error.hint.map { "; \($0)" } ?? ""))
    }
  }

  /// Shapes from config.json, and the keys of the folder's other files if it has a known tokenizer.
  private static func withTokenizer(_ shapes: ModelShapes, directory: String) -> any ModelSource {
    // A plan of a model elsewhere takes kilobytes: the size of its tokenizer is estimated.
    let path = directory + "/tokenizer.json"
    guard RemoteFiles.file(at: path) == nil, FileManager.default.fileExists(atPath: path),
      let metadata = try? shapes.metadata(from: directory)
    else { return shapes }
    return TypedShapes(name: shapes.name, metadata: metadata, tensors: shapes.tensors)
  }

  /// Whether a folder on a disk holds weights.
  private static func hasWeights(_ directory: String) -> Bool {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    let weights = names.filter { $0.hasSuffix(".safetensors") }
    return !weights.isEmpty && weights.allSatisfy { RemoteFiles.file(at: directory + "/" + $0) == nil }
  }
}
