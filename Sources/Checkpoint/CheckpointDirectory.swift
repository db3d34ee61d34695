import Files
import Foundation
import GGUF
import Tensors

/// A Hugging Face directory as a model with GGUF's names. Rows are converted when they are read.
public struct CheckpointDirectory: ModelSource {
  public let name: String
  /// The path of the directory.
  public let directory: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  /// The findings on config.json's keys.
  public let configReview: ConfigReview
  /// Decisions taken where the directory's files are ambiguous or contradict each other.
  public let notes: [CheckpointNote]
  let assembled: [String: AssembledTensor]
  /// The paths of all files of weights.
  public let files: [String]
  public let removedFiles: Set<String>
  let lock: FolderLock

  /// - Parameters:
  ///   - path: a directory, or a file of its weights (``ModelLocation``).
  ///   - pre: llama.cpp's name of the splitter (`tokenizer.ggml.pre`), for a tokenizer whose structure is unknown.
  ///   - ignoring: keys of config.json to treat as missing although their values would be refused.
  ///   - carriesPrediction: whether blocks for multi-token prediction are a part of the model.
  ///   - restoring: opens a model of which an earlier run has removed shards. Their tensors can't be read.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, `FormatError`, and what reading files throws.
  public init(
    path: String, pre: String? = nil, ignoring: [String] = [], carriesPrediction: Bool = true, restoring: Bool = false
  ) throws {
    let location = try ModelLocation(path, restoring: restoring)
    let directory = location.directory
    self.directory = directory
    lock = try FolderLock(sharing: directory)
    let listing = DirectoryListing(path: directory, restoring: restoring)
    removedFiles = Set(listing.removed.map { directory + "/" + $0 })
    try RemovedShard.open(listing, restoring: restoring)
    let isMistral = MistralForm.isRead(listing, chosen: location.weights)
    guard isMistral || listing.names.contains("config.json") else {
      throw UnreadableDirectory(listing).error(lacking: .configuration)
    }
    try listing.checkCompanions()
    var (architecture, given) = try Architectures.resolved(
      try Config.read(in: directory, weights: location.weights))
    if !carriesPrediction { given.prediction = .dropped }
    let (config, review) = try given.reviewed(architecture, ignoring: ignoring)
    configReview = review
    _ = try architecture.init(config: config)
    let choice = try WeightChoice(
      listing, named: location.weights ?? config["transformers_weights"]?.string,
      prefix: isMistral ? MistralForm.weights : "model")
    let (weights, passedOver) = try Self.choose(choice, directory) {
      try CheckpointWeights(directory: directory, $0, architecture, config)
    }
    let model = weights.model
    name = location.name
    tensors = weights.tensors.map(\.info)
    files = weights.files
    let card = try ModelCard(directory: directory)
    var metadata = try modelMetadata(
      architecture.ggufName, name: name, tensors, try model.hyperparameters(), config: config, directory: directory,
      card: card)
    let tokenizer = try CheckpointTokenizer(
      directory: directory, config: config, architecture: architecture.ggufName, pre: pre)
    metadata.merge(tokenizer.metadata) { $1 }
    if architecture.carriesSuppressedTokens { metadata.merge(try suppressedTokens(directory)) { $1 } }
    self.metadata = metadata.asStored
    let adapter = listing.has("adapter_config.json") ? [CheckpointNote.adapterIgnored] : []
    let badCard = card?.fault.map { [CheckpointNote.badModelCard(fault: $0)] } ?? []
    notes =
      choice.notes + passedOver + weights.notes + adapter + badCard
      + (config.notes + tokenizer.notes).map { .message($0) }
    assembled = Dictionary(uniqueKeysWithValues: weights.tensors.map { ($0.info.name, $0) })
  }

  /// Opens the only candidate, or the only one of several that fits config.json.
  private static func choose(
    _ choice: WeightChoice, _ directory: String, open: (WeightFiles) throws -> CheckpointWeights
  ) throws -> (CheckpointWeights, [CheckpointNote]) {
    guard choice.candidates.count > 1 else { return (try open(choice.candidates[0]), []) }
    var opened: [(files: WeightFiles, weights: CheckpointWeights)] = []
    var refused: [(files: WeightFiles, error: FormatError)] = []
    for files in choice.candidates {
      do {
        opened.append((files, try open(files)))
      } catch let error as FormatError {
        refused.append((files, error))
      }
    }
    guard let only = opened.first, opened.count == 1 else { throw choice.contradiction(in: directory) }
    let notes = refused.map { files, error in
      CheckpointNote.passedOver(
        files: files.description, reason: error.subject.map { "\($0) \(error.reason)" } ?? error.reason,
        read: only.files.description)
    }
    return (only.weights, notes)
  }

  public func tensor(named name: String) -> TensorInfo? { assembled[name]?.info }

  public func path(of tensor: TensorInfo) -> String? { assembled[tensor.name]?.path }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let assembled = assembled(tensor)
    try output.withUnsafeMutableBytes { try assembled.readBytes(rows, into: $0) }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let assembled = assembled(tensor)
    try output.withUnsafeMutableBufferPointer { try assembled.readFloats(rows, into: $0) }
  }

  private func assembled(_ tensor: TensorInfo) -> AssembledTensor {
    guard let result = assembled[tensor.name] else { preconditionFailure("\(name) has no tensor \(tensor.name)") }

    return result
  }
}

/// Opens a model: a Hugging Face directory, a file of its weights, a GGUF file, or the first shard of a GGUF.
///
/// - Parameters:
///   - pre: llama.cpp's name of a directory's splitter, for a tokenizer whose structure is unknown. A GGUF has the name
///     itself.
///   - ignoring: keys of a directory's config.json to treat as missing although their values would be refused.
///   - carriesPrediction: whether a directory's blocks for multi-token prediction are a part of the model.
///   - restoring: whether shards of a directory may be missing that an earlier run has removed.
public func openModel(
  path: String, pre: String? = nil, ignoring: [String] = [], carriesPrediction: Bool = true, restoring: Bool = false
) throws -> any ModelSource {
  if ModelLocation.isCheckpoint(path) {
    return try CheckpointDirectory(
      path: path, pre: pre, ignoring: ignoring, carriesPrediction: carriesPrediction, restoring: restoring)
  }
  guard pre == nil else {
    throw FormatError(
      topic: .needlessSplitter, path: path, subject: "splitter",
      "does not apply: a GGUF has the splitter's name in its metadata")
  }
  if let key = ignoring.first { throw UnneededIgnoring(path: path, key: key) }
  return try GGUFFile(path: path)
}
