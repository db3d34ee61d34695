import ArgumentParser
import Checkpoint
import GGUF
import Quantize
import Tensors

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a model as a GGUF without choosing anything.",
    discussion: """
      Norms, biases and routers stay F32; matrices get --type, or keep the type they are published in (auto).

        qtool convert Qwen2.5-7B -o Qwen2.5-7B-BF16.gguf
        qtool convert Qwen2.5-7B -o Qwen2.5-7B-F16.gguf --type F16
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

  @Argument(help: "A Hugging Face directory or a GGUF file.") var model: String
  @Option(name: .long, help: "The type of matrices: F32, F16, BF16, Q8_0 or auto.") var type = Target.auto
  @Flag(name: .long, help: "Print what would be written, and write nothing.") var dryRun = false
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Weights") var weightOptions: WeightOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func run() throws {
    let progress = options.apply()
    if !dryRun { try output.check(inputs: [model]) }
    let source = weightOptions.apply(to: try openModel(path: model))
    let types: [GGMLType]
    var fileType: Int
    if let mix = StockMix(name: type.rawValue) {
      types = mix.types(for: source, hasImportance: false)
      fileType = mix.fileType
    } else {
      types = source.tensors.map(\.type)
      fileType = source.metadata.optionalInt("general.file_type") ?? nearestFileType(source.tensors)
    }
    let plan = RewritePlan(
      source: source, types: types, metadata: source.outputMetadata(fileType: fileType, importance: nil))
    if dryRun {
      print(QuantizationTable.tensors(plan))
      return
    }
    _ = try write(plan, importance: nil, to: output, progress)
    print("\(output.output): \(Figures.grouped(plan.totalBytes)) bytes")
  }
}
