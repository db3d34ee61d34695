import ArgumentParser
import Files
import Foundation
import GGUF
import Hub
import Perplexity
import Plan
import Report
import Tensors

struct CardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "card",
    abstract: "Write the model card that the hub expects beside quantized files.",
    usage: "qtool card <file> ... [--drift <file>] [<options>]",
    discussion: """
      The card has the front matter (base model, license, tags), a table of the files with sizes, drift and the machines \
      that hold them, how each file was made, how to run it, and SHA-256. All of it comes from the files' metadata and \
      from `qtool drift --json`; paths of this machine are not in it.

        qtool card Qwen2.5-7B-Q4_K_M.gguf -o README.md
        qtool drift Qwen2.5-7B-F16.gguf Qwen2.5-7B-Q4_K_M.gguf \\
          --text held-out.txt --json > drift.json
        qtool card Qwen2.5-7B-Q4_K_M.gguf --drift drift.json \\
          --base-model Qwen/Qwen2.5-7B -o card.md
      """)

  @Argument(
    help: ArgumentHelp("The GGUF files, of shards the first.", valueName: "file"), completion: .file())
  var files: [String]
  @Option(
    name: .long, help: ArgumentHelp("The JSON of `qtool drift --json` with these files.", valueName: "file"),
    completion: .file())
  var drift: String?
  @Option(
    name: .long,
    help: ArgumentHelp("The quantized model on the hub (default: what the metadata say).", valueName: "org/name"))
  var baseModel: String?
  @Option(name: .long, help: ArgumentHelp("Who made the files.", valueName: "name")) var quantizedBy: String?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Tokens of context that a machine must hold, such as 32k (default: as many as the model was trained for, at most "
        + "8,192).", valueName: "tokens"))
  var context: ContextLength?
  @Option(
    name: [.short, .long], help: ArgumentHelp("The file to write (default: standard output).", valueName: "file"),
    completion: .file())
  var output: String?
  @Flag(name: .long, help: "Replace an existing file.") var force = false
  @OptionGroup(title: "Run") var options: ThreadOptions

  func run() throws {
    let progress = options.apply()
    if let output { try OutputOptions(output: output, force: force).check(inputs: files + (drift.map { [$0] } ?? [])) }
    let given = try baseModel.map(Self.repository)
    let report = try drift.map(Self.report)
    let models = try files.map { try GGUFFile(path: try HubModels.path($0)) }
    for (index, model) in models.enumerated() where models[..<index].contains(where: { $0.name == model.name }) {
      throw Failure(
        .usage, "\(files[index]): another file has this name", hint: "files of one card need different names")
    }
    let named = models.map(\.name)
    if let report, !report.models.contains(where: { named.contains($0.name) }) {
      throw Failure(
        .data, "\(drift ?? ""): has none of these files",
        hint: "it has \(report.models.map(\.name).prefix(3).joined(separator: ", "))")
    }
    let trained = models.compactMap { (try? ModelDimensions(of: $0))?.trainedContext }.min()
    if let trained, let context, context.tokens > trained {
      progress.note(
        "warning: --context \(Figures.grouped(context.tokens)) is beyond the \(Figures.grouped(trained)) tokens that the model "
          + "was trained for")
    }
    let window = context?.tokens ?? min(trained ?? 8192, 8192)
    var entries: [HubCard.File] = []
    for model in models {
      progress.start("hashing \(model.name)", total: model.bytes, unit: .bytes)
      entries.append(try Self.entry(model, context: window, progress))
      progress.finish()
    }
    let metadata = models[0].metadata
    let base = given ?? HubCard.baseModel(of: metadata)
    if base == nil { progress.note("note: no file names its model on the hub: --base-model names it") }
    if metadata.optionalString("general.license") == nil {
      progress.note("note: no license in the metadata: add the model's to the card")
    }
    let card = HubCard(
      files: entries, drift: report, machines: Machines.all.map { ($0.name, $0.title) }, context: window,
      baseModel: base,
      quantizedBy: quantizedBy ?? metadata.optionalString("general.quantized_by"),
      generator: "qtool \(QTool.version)",
      merge: { "llama-gguf-split --merge \($0) \($1)" })
    guard let output else { return print(card.markdown, terminator: "") }
    let file = try OutputFile(path: output, overwrite: force)
    try file.write(Array(card.markdown.utf8))
    try file.commit()
    print(output)
  }

  /// `ORG/NAME` of an option, or of the reference by which a run has read the model.
  private static func repository(_ text: String) throws -> String {
    let name = (try? HubReference(text))?.repository ?? text
    guard name.wholeMatch(of: /[\w.-]+\/[\w.-]+/) != nil else {
      throw Failure(.usage, "--base-model \(text): is not ORG/NAME", hint: "such as Qwen/Qwen2.5-7B")
    }
    return name
  }

  private static func report(_ path: String) throws -> DriftReport {
    let file = try PositionedFile(path: path)
    let data = Data(try TextFile.content(of: try file.bytes(in: 0..<file.size), path: path))
    guard let report = try? DriftReport(json: data) else {
      throw Failure(
        .data, "\(path): is not JSON of qtool drift", hint: "qtool drift BASE MODEL --text FILE --json > drift.json")
    }
    return report
  }

  private static func entry(_ model: GGUFFile, context: Int, _ progress: Progress) throws -> HubCard.File {
    let size = ModelSize(model)
    var done = 0
    let digests = try model.paths.map { path in
      let file = try PositionedFile(path: path)
      var digest = DataDigest()
      for start in stride(from: 0, to: file.size, by: 16 << 20) {
        try Interruption.check()
        let bytes = try file.bytes(in: start..<min(file.size, start + (16 << 20)))
        digest.update(bytes.span.bytes)
        done += bytes.count
        progress.update(done)
      }
      return (name: URL(filePath: path).lastPathComponent, sha256: digest.hex())
    }
    // A model without the dimensions of a cache fits nothing that can be told.
    let machines = Machines.all.filter { machine in
      (try? MemoryPlan(model, machine: machine, context: context)).map { $0.largestFile >= size.bytes } ?? false
    }
    return HubCard.File(
      name: model.name, bytes: size.bytes, bitsPerWeight: size.bitsPerWeight, metadata: model.metadata,
      digests: digests, machines: machines.map(\.name))
  }
}
