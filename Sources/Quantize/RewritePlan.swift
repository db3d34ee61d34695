import Files
import GGUF
import Tensors

/// Returns a tensor's mean squared activations, [matrices, columns] row by row; nil if there are none.
public typealias Importance = @Sendable (TensorInfo) -> [Float]?

/// The source, types and files of the rewriting of a model.
public struct RewritePlan: Sendable {
  /// The model to rewrite.
  public let source: any ModelSource
  /// The type of every tensor, in the source's order.
  public let types: [GGMLType]
  /// The layout of the output as a single file.
  public let layout: GGUFLayout
  /// The files: one, unless ``split(by:)`` was called.
  public private(set) var shards: GGUFShards
  /// The files, where they are no GGUF.
  public var container: (any OutputContainer)?
  /// The bytes of decoded rows that are encoded at once.
  public let chunkBytes = 16 << 20
  private let metadata: Metadata

  /// - Parameters:
  ///   - types: the type of every tensor, in the source's order.
  ///   - metadata: all keys of the file.
  public init(source: any ModelSource, types: [GGMLType], metadata: Metadata) {
    precondition(types.count == source.tensors.count, "\(types.count) types for \(source.tensors.count) tensors")
    self.source = source
    self.types = types
    self.metadata = metadata
    layout = GGUFLayout(
      metadata: metadata,
      tensors: zip(source.tensors, types).map { TensorInfo(name: $0.name, shape: $0.shape, type: $1) })
    shards = GGUFShards(layout)
  }

  /// Divides the output into shards, if the limit requires more than one.
  ///
  /// - Throws: `FormatError` if the limit can't be satisfied.
  public mutating func split(by limit: ShardLimit) throws {
    shards = try GGUFShards(metadata: metadata, tensors: layout.tensors, limit: limit)
  }

  /// The exact bytes of all files.
  public var totalBytes: Int { container?.totalBytes ?? shards.totalBytes }
  /// The bytes before the tensor data, in all files.
  public var headerBytes: Int { container?.headerBytes ?? shards.layouts.reduce(0) { $0 + $1.header.count } }
  /// SHA-256 of everything but the tensors' data, in hexadecimal.
  public var digest: String { container?.digest ?? shards.digest }

  func check(_ path: String, overwrite: Bool) throws {
    if let container { return try container.check(path, overwrite: overwrite) }
    for path in shards.paths(path) { try OutputFile.check(path, overwrite: overwrite) }
  }

  func isBegun(_ path: String) -> Bool {
    container?.isBegun(path) ?? shards.paths(path).allSatisfy(OutputFile.isBegun)
  }

  func writer(_ path: String, overwrite: Bool, resuming: Bool, checksSpace: Bool = true) throws -> any TensorWriter {
    try container?.writer(path: path, overwrite: overwrite, resuming: resuming)
      ?? GGUFWriter(
        path: path, shards: shards, overwrite: overwrite, resuming: resuming, checksSpace: checksSpace)
  }
}

/// The results of a rewriting.
public struct RewriteReport: Sendable, Equatable {
  /// The bytes of all files.
  public var bytes = 0
  /// The number of tensors that an earlier run had written.
  public var resumedTensors = 0
  /// The number of importance values that were zero or not finite, by tensor. They were replaced by the mean.
  public var replacedImportance: [String: Int] = [:]
  /// Quantized tensors that the given importance matrix lacks.
  public var withoutImportance: [String] = []

  /// A report of nothing.
  public init() {}
}

/// The treatment of existing files, and of interruptions.
public struct RewriteOptions: Sendable {
  /// Whether to replace an existing output.
  var overwrite = false
  /// The inputs of the run, by which a later run can resume it; nil for no journal, so that an interrupted run leaves
  /// no files.
  public var identity: RunIdentity?
  /// Whether to start from the beginning, even if an earlier run can be resumed.
  public var restart = false
  /// Whether to write the tensors' SHA-256 to a file beside the output.
  public var checksums = false
  /// The part of the tensors to write, or the parts to join; nil for the whole model. Needs an identity.
  public var parts: RewriteParts?
  /// The tensors of the part; nil for a share of equal work.
  public var chosen: Set<Int>?

  /// Whether the journal remains when the output is complete, so that a later run of a group of outputs takes it as
  /// finished. The caller removes it with ``RunJournal/remove(of:)``.
  public var keepsJournal = false

  /// Removes the source's files when all outputs hold what is read from them. Needs an identity.
  public var removal: SourceRemoval?

  /// Options without journal and checksums.
  public init(overwrite: Bool = false) { self.overwrite = overwrite }
}
