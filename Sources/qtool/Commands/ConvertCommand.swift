import ArgumentParser
import Checkpoint
import GGUF
import Quantize
import Tensors

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a model to GGUF, in its published types or one type.",
    discussion: """
      Norms, biases and routers are F32. Matrices get --type, or keep their published type (auto; FP8 becomes BF16). \
      Blocks that a directory stores (MXFP4) are kept.

        qtool convert Qwen2.5-7B -o Qwen2.5-7B-BF16.gguf
        qtool convert Qwen2.5-7B -o Qwen2.5-7B-F16.gguf --type F16
        qtool convert Llama-3.1-405B -o Llama-3.1-405B-BF16.gguf \\
          --shard-size 48GB

      With --shard-size, FILE.gguf becomes FILE-00001-of-0000N.gguf and so on. --metadata accepts the reference \
      converter's format: {"general.name": "My model", "general.tags": ["chat"]}.
      """)

  enum Target: String, CaseIterable, ExpressibleByArgument {
    case auto
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case q8_0 = "Q8_0"

    init?(argument: String) {
      guard let match = Self.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() }) else {
        return nil
      }
      self = match
    }
  }

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @Option(name: .long, help: "The type of matrices: F32, F16, BF16, Q8_0 or auto.") var type = Target.auto
  @Option(name: .long, help: ArgumentHelp("Write shards of at most this size, such as 48GB.", valueName: "size"))
  var shardSize: ByteSize?
  @Option(
    name: .long, help: ArgumentHelp("A JSON file of general.* keys to write.", valueName: "file"), completion: .file())
  var metadata: String?
  @Flag(name: .long, help: "Convert tensors that are already quantized.") var allowRequantize = false
  @Flag(name: .long, help: "Print the table of tensors, types and bytes, and write nothing.") var dryRun = false
  @OptionGroup(title: "Output") var output: ModelOutputOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: ThreadOptions

  func validate() throws {
    if let shardSize, shardSize.bytes < 1 { throw ValidationError("--shard-size leaves no room for a tensor") }
  }

  func run() throws {
    let progress = options.apply()
    let inputs = [model] + (metadata.map { [$0] } ?? [])
    if !dryRun, shardSize == nil { try output.file.check(inputs: inputs) }
    let overrides = try metadata.map(metadataOverrides(path:)) ?? [:]
    let opened = try splitter.open(model, progress)
    try opened.refuseMLX()
    let source = weightOptions.apply(to: opened)
    let plan = try plan(of: source, keepsBlocks: opened is CheckpointDirectory && !allowRequantize, overrides, progress)
    let paths = plan.shards.paths(output.file.output)
    if dryRun {
      print(QuantizationTable.tensors(plan))
      if paths.count > 1 { print("\n" + QuantizationTable.shards(plan.shards, paths)) }
      return
    }
    if shardSize != nil {
      for path in paths { try output.file.check(inputs: inputs, path) }
    }
    progress.noteIntegers(in: source)
    let choice = try parts.choice()
    parts.note(choice, progress)
    let report = try write(
      plan, importance: nil, to: output.file, checksums: output.checksums, parts: choice, progress)
    if case .one(let part) = choice {
      return print("\(output.file.output): part \(part), \(Figures.grouped(report.bytes)) bytes")
    }
    for (path, layout) in zip(paths, plan.shards.layouts) {
      print("\(path): \(Figures.grouped(layout.totalBytes)) bytes")
    }
  }

  /// - Parameter keepsBlocks: whether tensors that are quantized keep their types: a directory's are the published weights.
  private func plan(
    of source: any ModelSource, keepsBlocks: Bool, _ overrides: Metadata, _ progress: Progress
  ) throws -> RewritePlan {
    var types: [GGMLType]
    let fileType: Int
    if let mix = StockMix(name: type.rawValue) {
      types = mix.types(for: source, hasImportance: false)
      for (index, tensor) in source.tensors.enumerated() where TensorName(tensor.name).isConvertedOnly {
        types[index] = mix.base.fitting(columns: tensor.shape.columns)
      }
      // llama.cpp's converter leaves the gates of indexers in single precision; its quantizer does not.
      for (index, tensor) in source.tensors.enumerated()
      where tensor.type == .f32 && tensor.name.hasSuffix(".indexer.proj.weight") {
        types[index] = .f32
      }
      fileType = mix.fileType
    } else {
      types = source.tensors.map(\.type)
      fileType = source.metadata.optionalInt("general.file_type") ?? nearestFileType(source.tensors)
    }
    if keepsBlocks {
      let kept = source.tensors.indices.filter { source.tensors[$0].type.isQuantized }
      for index in kept { types[index] = source.tensors[index].type }
      if let first = kept.first, type != .auto {
        progress.note(
          "note: \(kept.count) tensors, first \(source.tensors[first].name), keep \(source.tensors[first].type), in which "
            + "they are published; --allow-requantize converts them too")
      }
    }
    if let tensor = zip(source.tensors, types).first(where: { $0.type != $1 && $0.type.isQuantized })?.0 {
      guard allowRequantize else { throw QuantizeError.needsRequantize(tensor: tensor.name, type: tensor.type) }
      progress.note("warning: \(source.name) is already quantized; its errors remain")
    }
    var metadata = source.outputMetadata(fileType: fileType, importance: nil)
    metadata.merge(overrides) { $1 }
    var plan = RewritePlan(source: source, types: types, metadata: metadata)
    if let shardSize { try plan.split(by: .bytes(shardSize.bytes)) }
    return plan
  }
}
