import ArgumentParser
import Blocks
import Checkpoint
import Foundation
import GGUF
import Imatrix
import Tensors

/// Benchmarks of the encoders, compared with ggml's.
struct EncodersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "encoders",
    abstract: "Measure time and error of every encoder, ours and ggml's, on the 2-D tensors of a model.",
    discussion: """
      Rows, importance and thread are the same for both. Times are CPU time, the minimum of alternating repetitions. \
      ggml's encoder comes from a shared library (libggml-base) built for this machine.
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file with float weights.") var model: String
  @Option(help: "The model's importance matrix.") var imatrix: String?
  @Option(help: "ggml's library (default: the environment variable QTOOL_GGML).") var ggml: String?
  @Option(parsing: .upToNextOption, help: "Types to measure (default: all).") var types: [String] = []
  @Option(parsing: .upToNextOption, help: "Only tensors whose names contain one of these.") var only: [String] = []
  @Option(help: "Number of runs of each encoder.") var repetitions = 3
  @Option(help: "Maximum number of rows of a tensor to encode.") var rows = 4096
  @Flag(help: "Print every tensor.") var tensors = false
  @Flag(help: "Also measure parallel rows, with one thread and with all.") var threads = false
  @Option(help: "A Markdown file to write the table to.") var write: String?
  @Option(help: "Name of the machine in the table.") var machine: String?

  func run() throws {
    let path = ggml ?? ProcessInfo.processInfo.environment["QTOOL_GGML"]
    let benchmark = EncoderBenchmark(ggml: try path.map(Ggml.init(path:)), repetitions: repetitions)
    let types = try chosenTypes()
    let samples = try samples()
    var summaries: [TypeSummary] = []
    for type in types {
      let fitting = samples.filter {
        $0.columns % type.blockLength == 0 && ($0.importance != nil || !type.needsImportance)
      }
      guard !fitting.isEmpty else { continue }
      let summary = TypeSummary(type: type, measurements: try fitting.map { try benchmark.measure($0, as: type) })
      summaries.append(summary)
      if tensors { print(Report.tensors(summary) + "\n") }
      FileHandle.standardError.write(Data("\(type.name)\n".utf8))
    }
    let table = Report.encoders(summaries)
    print(table)
    if let write {
      let weights = imatrix == nil ? "without importance" : "with importance"
      let intro = "\(machine ?? "This machine"), one thread; \((model as NSString).lastPathComponent), \(weights).\n\n"
      let name = imatrix == nil ? "encoders-plain" : "encoders"
      try Report.write(intro + table, section: name, heading: "Encoders, \(weights)", to: write)
    }
    let suited = samples.filter { $0.importance != nil || imatrix == nil }
    if threads, let largest = suited.max(by: { $0.rows.count < $1.rows.count }) {
      let benchmark = ThreadBenchmark(largest, weights: 1 << 23, repetitions: repetitions)
      let counts = [1, Threads.count]
      let rows = try types.filter { largest.importance != nil || !$0.needsImportance }.map {
        (type: $0, seconds: try benchmark.seconds(as: $0, threads: counts))
      }
      let table = Report.threads(rows, counts)
      print(table)
      if let write {
        try Report.write(table, section: "threads", heading: "Rows in parallel", to: write)
      }
    }
  }

  private func chosenTypes() throws -> [GGMLType] {
    if types.isEmpty { return GGMLType.allCases.filter { $0.canEncode && $0 != .f32 } }
    return try types.map { name in
      guard let type = GGMLType(name: name), type.canEncode else {
        throw ValidationError("--types \(name): no type that can be encoded")
      }
      return type
    }
  }

  private func samples() throws -> [Sample] {
    let source = try open()
    let matrix = try imatrix.map { try ImportanceMatrix(path: $0) }
    return try source.tensors.filter { tensor in
      tensor.shape.rows > 1 && tensor.shape.matrices == 1
        && (only.isEmpty || only.contains { tensor.name.contains($0) })
    }.compactMap { tensor in
      let importance = matrix?.importance(for: tensor)
      // The embedding is looked up, not multiplied, so it has no importance; both encoders run without.
      if matrix != nil && importance == nil && !tensor.name.hasPrefix("token_embd") { return nil }
      let count = min(self.rows, tensor.shape.rows)
      var rows = [Float](repeating: 0, count: count * tensor.shape.columns)
      var span = rows.mutableSpan
      try source.readRows(of: tensor, rows: 0..<count, into: &span)
      return Sample(name: tensor.name, columns: tensor.shape.columns, rows: rows, importance: importance)
    }
  }

  private func open() throws -> any ModelSource {
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: model, isDirectory: &isDirectory), isDirectory.boolValue {
      return try CheckpointDirectory(path: model)
    }
    return try GGUFFile(path: model)
  }
}
