import ArgumentParser
import Checkpoint
import Files
import Foundation
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// Options of every command that works for long.
struct ThreadOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Threads to use (default: all processors). Results do not depend on it.", valueName: "count"))
  var threads: Int?

  @Flag(name: .shortAndLong, help: "Say nothing on standard error but errors.")
  var quiet = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads is at least 1") }
  }

  /// Puts the options that concern the whole process into force.
  func apply() -> Progress {
    if let threads { Threads.count = threads }
    return Progress(quiet: quiet)
  }
}

/// Options of the commands that run models.
struct RunOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Memory to use at most, such as 8GiB (default: 60 % of the machine's).", valueName: "size"))
  var memory: ByteSize?

  @Option(
    name: .long, help: ArgumentHelp("Folder for what does not fit in memory.", valueName: "dir"), completion: .directory
  )
  var scratch: String?

  @OptionGroup var threads: ThreadOptions

  func apply() -> Progress { threads.apply() }

  /// The budget, which a limit of the process (`ulimit -v`) may make smaller than what was asked for.
  var forward: ForwardOptions {
    let wanted = memory?.bytes ?? MemoryLimit.physical / 5 * 3
    let budget = min(wanted, MemoryLimit.left.map { $0 / 5 * 4 } ?? wanted)
    return ForwardOptions(memory: budget, scratchDirectory: scratch ?? NSTemporaryDirectory())
  }
}

/// Where a result goes.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
  var output: String

  @Flag(name: .long, help: "Replace a file of that name.")
  var force = false

  @Flag(name: .long, help: "Begin anew, whatever an interrupted run has left.")
  var restart = false

  init() {}

  init(output: String, force: Bool, restart: Bool = false) {
    self.output = output
    self.force = force
    self.restart = restart
  }

  /// Refuses early what would be refused after hours of work, and an output that is also one of `inputs` (files, or
  /// folders of files).
  func check(inputs: [String] = []) throws { try check(inputs: inputs, output) }

  /// The same for one of several files that the output becomes.
  func check(inputs: [String], _ output: String) throws {
    // What lies beside the output while it is written is replaced too, and goes with it.
    let beside = [output + ".part", RunJournal.path(for: output)] + PrefixedFiles(output + ".snapshot-").paths
    for path in [output] + beside {
      guard let identity = FileIdentity(path: path) else { continue }
      if inputs.flatMap(Self.files).contains(where: { FileIdentity(path: $0) == identity }) {
        throw Failure(.usage, "\(path): is an input too", hint: "name another output")
      }
    }
    try OutputFile.check(output, overwrite: force)
    let folder = URL(filePath: output).deletingLastPathComponent().path
    guard FileManager.default.isWritableFile(atPath: folder) else {
      throw Failure(.unwritable, "\(output): the folder is missing or not writable", hint: "create it, or name another")
    }
  }
}

/// Where a model goes.
struct ModelOutputOptions: ParsableArguments {
  @OptionGroup var file: OutputOptions

  @Flag(name: .long, help: "Write the SHA-256 of every tensor to FILE.sha256, for qtool verify.")
  var checksums = false
}

/// What happens to weights that are no numbers.
struct WeightOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write weights that are NaN or infinite as this value (0), with a count, instead of stopping.", valueName: "value"
    ))
  var replaceNonfinite: Int?

  func validate() throws {
    if let replaceNonfinite, replaceNonfinite != 0 { throw ValidationError("--replace-nonfinite takes 0 alone") }
  }

  /// The model to read weights from.
  func apply(to source: any ModelSource) -> any ModelSource {
    replaceNonfinite == nil ? source : FiniteModel(source)
  }
}

extension OutputOptions {
  /// The files that a path stands for: those of a folder that are read when the folder is named (texts, or a checkpoint),
  /// and all shards of a file that is one. What a run has left in the folder may be replaced by the next one.
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
          || name.firstMatch(of: /(config|token|chat_template|tekken).*\.json$/) != nil
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

/// The text to score, and how it is cut.
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
    help: ArgumentHelp("Tokens in a window (default: 512, or what a stored reference has).", valueName: "tokens"))
  var ctx: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Windows begin this many tokens apart, and the last so many predictions of each count.", valueName: "tokens"))
  var stride: Int?

  @Option(name: .long, help: ArgumentHelp("Score this many windows of each text at most.", valueName: "count"))
  var chunks: Int?

  func validate() throws {
    if let chunks, chunks < 1 { throw ValidationError("--chunks is at least 1") }
  }
}
