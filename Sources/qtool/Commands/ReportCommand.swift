import ArgumentParser
import Files
import Foundation
import GGUF
import MLX
import Perplexity
import Quantize
import Report

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Make an HTML page about quantized files and their drift.",
    discussion: """
      FILEs are GGUF files, output of `qtool drift --json`, and a file of `qtool sensitivity`, in any order. The page is \
      one HTML file without external resources. Models that only a drift run contains are shown for comparison.

        qtool drift Qwen2.5-7B Q4.gguf Q3.gguf --text held-out.txt --json \\
          > drift.json
        qtool report Q4.gguf drift.json -o Q4.html
        qtool report Q4.gguf Q3.gguf drift.json -o both.html --title "Both"
      """)

  @Argument(help: ArgumentHelp("GGUF files and JSON of drift and sensitivity.", valueName: "file"), completion: .file())
  var inputs: [String]
  @Option(name: [.short, .long], help: ArgumentHelp("The page to write.", valueName: "file"), completion: .file())
  var output: String
  @Option(name: .long, help: ArgumentHelp("Title of the page (default: the first file's name).", valueName: "text"))
  var title: String?
  @Flag(name: .long, help: "Replace an existing file.") var force = false

  func run() throws {
    try OutputOptions(output: output, force: force).check(inputs: inputs)
    var files: [ReportPage.File] = []
    var drifts: [DriftReport] = []
    var sensitivity: SensitivityFindings?
    for path in inputs {
      if MLXModel.isMLX(path) {
        files.append(try Self.directory(path))
        continue
      }
      if try Self.isGGUF(path) {
        files.append(try Self.file(path))
        continue
      }
      let json = try Self.contents(path)
      if let drift = try? DriftReport(json: json) {
        drifts.append(drift)
      } else if let found = try? SensitivityFindings(json: json) {
        sensitivity = found
      } else {
        throw Failure(
          .data, "\(path): is neither a GGUF nor JSON of qtool drift or qtool sensitivity",
          hint: "qtool drift BASE MODEL --text FILE --json > drift.json makes one")
      }
    }
    let page = ReportPage(
      title: title ?? files.first?.name ?? drifts.first.map { "Drift from \($0.base.name)" } ?? "Sensitivity",
      files: files, drifts: drifts, sensitivity: sensitivity, generator: "qtool \(QTool.version)",
      commands: ReportPage.Commands(
        merge: { "qtool merge \($0) -o \($1)" }, quantize: { "qtool quantize MODEL --recipe \($0) -o OUT.gguf" }))
    let file = try OutputFile(path: output, overwrite: force)
    try file.write(Array(try page.html().readable.utf8))
    try file.commit()
    print(output)
  }

  private static func contents(_ path: String) throws -> Data {
    let file = try PositionedFile(path: path)
    return Data(try TextFile.content(of: try file.bytes(in: 0..<file.size), path: path))
  }

  private static func isGGUF(_ path: String) throws -> Bool {
    let file = try PositionedFile(path: path)
    return try file.bytes(in: 0..<min(4, file.size)).elementsEqual("GGUF".utf8)
  }

  private static func directory(_ path: String) throws -> ReportPage.File {
    let model = try MLXModel(path: path)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return ReportPage.File(
      name: model.name, bytes: names.reduce(0) { $0 + ((try? PositionedFile(path: path + "/" + $1).size) ?? 0) },
      tensors: model.tensors, metadata: model.metadata, recipe: try Recipe(explaining: model).yaml())
  }

  private static func file(_ path: String) throws -> ReportPage.File {
    let model = try GGUFFile(path: path)
    return ReportPage.File(
      name: model.name, bytes: model.paths.reduce(0) { $0 + ((try? PositionedFile(path: $1).size) ?? 0) },
      tensors: model.tensors, metadata: model.metadata, recipe: try Recipe(explaining: model).yaml())
  }
}
