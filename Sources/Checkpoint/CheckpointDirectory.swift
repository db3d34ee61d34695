import Files
import Foundation
import GGUF
import Tensors

/// A Hugging Face directory as a model in GGUF's own names: nothing is converted until rows are read.
public struct CheckpointDirectory: ModelSource {
  public let name: String
  public let metadata: Metadata
  public let tensors: [TensorInfo]
  public let configReview: ConfigReview
  /// How the directory was read where its files leave that open, or contradict each other.
  public let notes: [CheckpointNote]
  private let recipes: [String: TensorRecipe]

  /// - Parameters:
  ///   - path: a directory, or a file of its weights (``ModelLocation``).
  ///   - pre: the name of the tokenizer's splitter, where its structure is unknown.
  ///   - ignoring: keys of config.json that would be refused, and are to count as missing.
  /// - Throws: ``RefusedConfig``, ``UnneededIgnoring``, `FormatError`, and what reading files throws.
  public init(path: String, pre: String? = nil, ignoring: [String] = []) throws {
    let location = try ModelLocation(path)
    let directory = location.directory
    let listing = DirectoryListing(path: directory)
    guard listing.names.contains("config.json") else {
      throw UnreadableDirectory(listing).error(lacking: .configuration)
    }
    try listing.checkCompanions()
    let whole = try Config(path: directory + "/config.json")
    let architecture = try Architectures.named(try whole.architecture, path: whole.path)
    let (config, review) = try whole.reviewed(architecture, ignoring: ignoring)
    configReview = review
    let model = try architecture.init(config: config)
    let choice = try WeightChoice(listing, named: location.weights ?? config["transformers_weights"]?.string)
    let (weights, passedOver) = try Self.choose(choice, directory) {
      try CheckpointWeights(directory: directory, $0, model, config)
    }
    name = location.name
    tensors = weights.recipes.map(\.info)
    let card = try ModelCard(directory: directory)
    var metadata = try modelMetadata(
      architecture.ggufName, name: name, tensors, try model.hyperparameters(), config: config, directory: directory,
      card: card)
    let tokenizer = try CheckpointTokenizer(
      directory: directory, config: config, architecture: architecture.ggufName, pre: pre)
    metadata.merge(tokenizer.metadata) { $1 }
    self.metadata = metadata.asStored
    let adapter = listing.has("adapter_config.json") ? [CheckpointNote.adapterIgnored] : []
    let badCard = card?.fault.map { [CheckpointNote.badModelCard(fault: $0)] } ?? []
    notes = choice.notes + passedOver + weights.notes + adapter + badCard + tokenizer.notes.map { .message($0) }
    recipes = Dictionary(uniqueKeysWithValues: weights.recipes.map { ($0.info.name, $0) })
  }

  /// Opens the only candidate; of several, the only one that fits config.json.
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

  public func tensor(named name: String) -> TensorInfo? { recipes[name]?.info }

  public func path(of tensor: TensorInfo) -> String? { recipes[tensor.name]?.path }

  public func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    let recipe = recipe(tensor)
    try output.withUnsafeMutableBytes { try recipe.readBytes(rows, into: $0) }
  }

  public func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    let recipe = recipe(tensor)
    try output.withUnsafeMutableBufferPointer { try recipe.readFloats(rows, into: $0) }
  }

  private func recipe(_ tensor: TensorInfo) -> TensorRecipe {
    guard let recipe = recipes[tensor.name] else { preconditionFailure("\(name) has no tensor \(tensor.name)") }
    return recipe
  }
}

/// Opens a model: a Hugging Face directory (or the weights in it that are to be read), a GGUF file, or the first shard of
/// one.
///
/// - Parameters:
///   - pre: the name of a directory's splitter, where its structure is unknown; a GGUF names its own.
///   - ignoring: keys of a directory's config.json that would be refused.
public func openModel(path: String, pre: String? = nil, ignoring: [String] = []) throws -> any ModelSource {
  if ModelLocation.isCheckpoint(path) { return try CheckpointDirectory(path: path, pre: pre, ignoring: ignoring) }
  guard pre == nil else {
    throw FormatError(
      topic: .needlessSplitter, path: path, subject: "splitter", "does not apply: a GGUF names its splitter itself")
  }
  if let key = ignoring.first { throw UnneededIgnoring(path: path, key: key) }
  return try GGUFFile(path: path)
}
