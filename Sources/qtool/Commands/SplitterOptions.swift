import ArgumentParser
import Checkpoint
import Files
import GGUF
import MLX
import Quantize
import Tokenizers

/// Options for a Hugging Face directory with an unusual tokenizer or configuration.
struct SplitterOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "llama.cpp's name for the splitter of a directory whose tokenizer.json has an unknown structure.",
      valueName: "name"))
  var pre: String?

  @OptionGroup var config: ConfigOptions

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Of a model on the hub: the disk space for weights that are read again (default: none where they are read once, "
        + "else what is free).", valueName: "size"))
  var cache: ByteSize?

  /// Opens a model, and notes how ambiguous files of a directory were read.
  ///
  /// - Parameter restoring: whether shards of a directory may be missing that an earlier run has removed.
  func open(
    _ path: String, _ progress: Progress = Progress(quiet: false), restoring: Bool = false
  ) throws -> any ModelSource {
    try open(path, ignoring: config.ignored, progress: progress, restoring: restoring)
  }

  /// Opens one of several models. The options apply only to directories, and --ignore-config to those with that key.
  func openAmongOthers(
    _ path: String, _ progress: Progress = Progress(quiet: false)
  ) throws -> any ModelSource {
    let path = try located(path)
    guard ModelLocation.isCheckpoint(path) else { return try openModel(path: path) }
    let ignorable = config.ignored.isEmpty ? [] : try ConfigReview.ignorableKeys(path: path)
    return try open(path, ignoring: config.ignored.filter { Self.names($0, ignorable) }, progress: progress)
  }

  /// Refuses a key to ignore that none of several models has.
  func check(_ paths: [String]) throws {
    guard !config.ignored.isEmpty else { return }
    let ignorable = try paths.map(located).filter(ModelLocation.isCheckpoint).flatMap(ConfigReview.ignorableKeys)
    for key in config.ignored where !Self.names(key, ignorable) {
      throw UnneededIgnoring(path: paths.joined(separator: ", "), key: key, refused: ignorable)
    }
  }

  /// Whether `key` is an ignorable key or the object that contains one.
  private static func names(_ key: String, _ ignorable: [String]) -> Bool {
    ignorable.contains { $0 == key || $0.hasPrefix(key + ".") }
  }

  /// The path of a model, which may be on the hub.
  func located(_ path: String) throws -> String {
    HubModels.store(cache, isRepeated: false)
    return try HubModels.path(path)
  }

  private func open(
    _ path: String, ignoring: [String], progress: Progress, restoring: Bool = false
  ) throws -> any ModelSource {
    let path = try located(path)
    do {
      if MLXModel.isMLX(path) { return try MLXModel(path: path, pre: pre, ignoring: ignoring) }
      let model = try openModel(
        path: path, pre: pre, ignoring: ignoring, carriesPrediction: !config.dropsPrediction, restoring: restoring)
      if !ModelLocation.isCheckpoint(path) { try config.checkPrediction(of: model, path: path) }
      for note in model.openingNotes { progress.note("note: \(note)") }
      return model
    } catch let error as FormatError {
      switch (error.topic, pre) {
      case (.needlessSplitter, _?): throw Failure(.usage, "\(error.path): --pre: \(error.reason)", hint: error.hint)
      case (.misnamedSplitter, let pre?):
        throw Failure(.usage, "\(error.path): --pre \(pre): \(error.reason)", hint: error.hint)
          .suggesting(pre, among: PreTokenizer.names)
      default: throw error
      }
    }
  }
}

extension ConfigOptions {
  /// Refuses to leave out blocks of a GGUF.
  func checkPrediction(of model: any ModelSource, path: String) throws {
    guard dropsPrediction, model.hasPredictionBlocks else { return }
    throw Failure(
      .usage, "\(path): --no-mtp: applies to directories, not to the blocks of a GGUF",
      hint: "convert the model's directory again")
  }
}

extension ModelSource {
  /// Whether the model has blocks for multi-token prediction.
  fileprivate var hasPredictionBlocks: Bool {
    guard let architecture = metadata.optionalString("general.architecture") else { return false }
    return metadata.optionalInt("\(architecture).nextn_predict_layers") ?? 0 > 0
  }
}
