import ArgumentParser
import Files
import GGUF
import Quantize
import Tensors

struct SplitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "split",
    abstract: "Write a GGUF as shards.",
    usage: """
      qtool split <model> -o <file> --max-size <size> [<options>]
      qtool split <model> -o <file> --max-tensors <count> [<options>]
      """,
    discussion: """
      Tensor data is copied bit for bit. FILE.gguf becomes FILE-00001-of-0000N.gguf and so on; llama.cpp and qtool open \
      the first. A tensor larger than --max-size gets a separate shard.

        qtool split DeepSeek-R1-Q4_K_M.gguf -o DeepSeek-R1.gguf --max-size 48GB
        qtool split Llama-3.3-70B-Q4_K_M.gguf -o shards.gguf --max-tensors 128 \\
          --dry-run
      """)

  @Argument(help: "A GGUF file (or its first shard).", completion: .file()) var model: String
  @Option(
    name: .long, help: ArgumentHelp("Maximum size of a shard, such as 48GB or 45GiB.", valueName: "size"))
  var maxSize: ByteSize?
  @Option(name: .long, help: ArgumentHelp("Maximum number of tensors in a shard.", valueName: "count"))
  var maxTensors: Int?
  @Flag(name: .long, help: "Write only metadata to the first shard.") var noTensorFirstSplit = false
  @Flag(name: .long, help: "Print the list of shards, and write nothing.") var dryRun = false
  @OptionGroup(title: "Output") var output: CopyOptions

  func validate() throws {
    guard (maxSize == nil) != (maxTensors == nil) else {
      throw ValidationError("give either --max-size or --max-tensors")
    }
    if let maxTensors, maxTensors < 1 { throw ValidationError("--max-tensors must be at least 1") }
    if let maxSize, maxSize.bytes < 1 { throw ValidationError("--max-size leaves no room for a tensor") }
  }

  func run() throws {
    guard !isDirectory(model) else {
      throw Failure(
        .missing, "\(model): is a folder, and split takes a GGUF file",
        hint: "qtool convert with --shard-size writes a Hugging Face directory as shards")
    }
    let source = try GGUFFile(path: try HubModels.path(model))
    let limit: ShardLimit = maxSize.map { .bytes($0.bytes) } ?? .tensors(maxTensors ?? 1)
    let shards = try GGUFShards(
      metadata: source.metadata, tensors: source.tensors, limit: limit, emptyFirst: noTensorFirstSplit)
    if dryRun { return print(QuantizationTable.shards(shards, shards.paths(output.output))) }
    try output.copy(source, to: shards.paths(output.output), limit: limit, emptyFirst: noTensorFirstSplit)
  }
}

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Write the shards of a GGUF as one file.",
    discussion: """
      Tensor data is copied bit for bit.

        qtool merge DeepSeek-R1-Q4_K_M-00001-of-00009.gguf \\
          -o DeepSeek-R1-Q4_K_M.gguf
        qtool merge Llama-3.3-70B-Q8_0-00001-of-00002.gguf \\
          -o Llama-3.3-70B-Q8_0.gguf --force
      """)

  @Argument(help: "The first shard.", completion: .file()) var model: String
  @OptionGroup(title: "Output") var output: CopyOptions

  func run() throws {
    guard !isDirectory(model) else {
      throw Failure(
        .missing, "\(model): is a folder, and merge takes the first shard of a GGUF",
        hint: "name the file whose name ends in -00001-of-0000N.gguf")
    }
    let source = try GGUFFile(path: try HubModels.path(model))
    guard source.paths.count > 1 else {
      throw Failure(.data, "\(model): is not a shard: the model is already one file")
    }
    try output.copy(source, to: [output.output], limit: nil)
  }
}

/// The output of a copy into shards or one file.
struct CopyOptions: ParsableArguments {
  @Option(name: [.short, .long], help: ArgumentHelp("The file to write; shards add their number to its name."))
  var output: String
  @Flag(name: .long, help: "Replace existing files.") var force = false
  @Flag(name: .shortAndLong, help: "Print only errors on standard error.") var quiet = false

  fileprivate func copy(
    _ source: GGUFFile, to outputs: [String], limit: ShardLimit?, emptyFirst: Bool = false
  ) throws {
    for path in outputs { try OutputOptions(output: path, force: force).check(inputs: source.paths) }
    let progress = Progress(quiet: quiet)
    let bytes = source.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    progress.start("writing \(output)", total: bytes, unit: .bytes)
    let paths = try GGUFSplit.write(
      source, to: output, limit: limit, emptyFirst: emptyFirst, overwrite: force,
      progress: StageObserver(progress: progress, total: bytes))
    progress.finish()
    for path in paths { print("\(path): \(Figures.grouped(try PositionedFile(path: path).size)) bytes") }
  }
}
