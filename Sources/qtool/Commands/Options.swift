import ArgumentParser
import Checkpoint
import Files
import Foundation
import GGUF
import Imatrix
import MLX
import Quantize
import Tensors
import Transformer

/// Options of every long-running command.
struct ThreadOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Threads to use (default: all processors). Results do not depend on it.", valueName: "count"))
  var threads: Int?

  @Flag(name: .shortAndLong, help: "Print only errors on standard error.")
  var quiet = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
  }

  /// Applies the options of the whole process.
  func apply() -> Progress {
    if let threads { Threads.count = threads }
    let progress = Progress(quiet: quiet)
    HubModels.report(to: progress)
    return progress
  }
}

/// Options of the commands that run models.
struct RunOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Maximum memory to use, such as 8GiB (default: 60 % of the machine's).", valueName: "size"))
  var memory: ByteSize?

  @Option(
    name: .long, help: ArgumentHelp("Folder for data that does not fit in memory.", valueName: "dir"),
    completion: .directory
  )
  var scratch: String?

  @OptionGroup var threads: ThreadOptions

  func apply() -> Progress {
    HubModels.limit(memory: memoryLimit)
    return threads.apply()
  }

  /// The budget: at most --memory, and at most four fifths of the process's limit (`ulimit -v`).
  ///
  /// Blocks of a model on the hub are a part of it.
  var forward: ForwardOptions {
    ForwardOptions(
      memory: max(1, memoryLimit - HubModels.memory), scratchDirectory: scratch ?? NSTemporaryDirectory())
  }

  private var memoryLimit: Int {
    let wanted = memory?.bytes ?? MemoryLimit.physical / 5 * 3
    return min(wanted, MemoryLimit.remaining.map { $0 / 5 * 4 } ?? wanted)
  }
}

/// The file of a result.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
  var output: String

  @Flag(name: .long, help: "Replace an existing file.")
  var force = false

  @Flag(name: .long, help: "Start over, ignoring the files of an interrupted run.")
  var restart = false

  /// Whether the output is a directory, whose writer checks it.
  var isDirectory = false

  enum CodingKeys: CodingKey {
    case output, force, restart
  }

  init() {}

  init(output: String, force: Bool, restart: Bool = false, isDirectory: Bool = false) {
    self.isDirectory = isDirectory
    self.output = output
    self.force = force
    self.restart = restart
  }

  /// Refuses, before hours of work, an output that can't be written, or that is one of `inputs` (files or folders).
  func check(inputs: [String] = []) throws { try check(inputs: inputs, output) }

  /// Checks one of several output files.
  func check(inputs: [String], _ output: String) throws {
    // Temporary files beside the output are replaced and removed too.
    let beside = [output + ".part", RunJournal.path(for: output)] + PrefixedFiles(output + ".snapshot-").paths
    for path in [output] + beside {
      guard let identity = FileIdentity(path: path) else { continue }
      if inputs.flatMap(Self.files).contains(where: { FileIdentity(path: $0) == identity }) {
        throw Failure(.usage, "\(path): is also an input", hint: "name another output")
      }
    }
    if isDirectory {
      try MLXOutput.check(output, overwrite: force)
    } else {
      try OutputFile.check(output, overwrite: force)
    }
    let folder = URL(filePath: output).deletingLastPathComponent().path
    guard FileManager.default.isWritableFile(atPath: folder) else {
      throw Failure(.unwritable, "\(output): the folder is missing or not writable", hint: "create it, or name another")
    }
  }
}

/// The file of a model.
struct ModelOutputOptions: ParsableArguments {
  @OptionGroup var file: OutputOptions

  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.")
  var checksums = false
}

/// The treatment of weights that are NaN or infinite.
struct WeightOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write NaN and infinite weights as this value (0) and count them, instead of stopping.", valueName: "value"))
  var replaceNonfinite: Int?

  func validate() throws {
    if let replaceNonfinite, replaceNonfinite != 0 { throw ValidationError("--replace-nonfinite accepts only 0") }
  }

  /// The model to read weights from.
  func apply(to source: any ModelSource) -> any ModelSource {
    replaceNonfinite == nil ? source : FiniteModel(source)
  }
}

extension OutputOptions {
  /// The input files of a path: those that are read from a folder (texts, or a checkpoint), or all shards of a shard.
  /// Other files in the folder, such as earlier outputs, may be replaced.
  private static func files(of path: String) -> [String] {
    func contents(_ folder: String) -> [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).map { folder + "/" + $0 }
    }
    let isCheckpoint = ModelLocation.isCheckpoint(path)
    let all = contents((isCheckpoint ? try? ModelLocation(path).directory : nil) ?? path)
    guard all.isEmpty else {
      return all.filter { file in
        let name = URL(filePath: file).lastPathComponent
        return CalibrationText.reads(name) || name == "README.md" || name == "merges.txt"
          || [".safetensors", ".jinja", ".model", ".index.json"].contains { name.hasSuffix($0) }
          || name.firstMatch(of: /(config|params|token|chat_template|tekken).*\.json$/) != nil
      }
    }
    let url = URL(filePath: path)
    guard let shard = url.lastPathComponent.firstRange(of: /-\d{5}-of-\d{5}\.gguf$/) else { return [path] }
    let stem = url.lastPathComponent[..<shard.lowerBound]
    return contents(url.deletingLastPathComponent().path).filter { URL(filePath: $0).lastPathComponent.hasPrefix(stem) }
  }
}

extension ByteSize: ExpressibleByArgument {
  public init?(argument: String) {
    guard let size = try? ByteSize(argument) else { return nil }
    self = size
  }
}

/// The text to score, and its windows.
struct TextOptions: ParsableArguments {
  static let defaultContext = 512

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Text to score: files (.txt, .md, source code, .jsonl, each also .zst) or folders.", valueName: "path"),
    completion: .file())
  var text: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Tokens in a window (default: 512, or those of a stored reference).", valueName: "tokens"))
  var ctx: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Start windows this many tokens apart, and score as many predictions at the end of each.", valueName: "tokens"))
  var stride: Int?

  @Option(name: .long, help: ArgumentHelp("Maximum number of windows to score of each text.", valueName: "count"))
  var chunks: Int?

  func validate() throws {
    if let chunks, chunks < 1 { throw ValidationError("--chunks must be at least 1") }
  }
}
