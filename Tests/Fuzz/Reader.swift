import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Inspection
import MLX
import Perplexity
import Plan
import Quantize
import Report
import Tensors
import Tokenizers
import Transformer

/// A reader of foreign files, with some use of the result.
struct Reader: Sendable {
  /// Name of the file in the current directory. Scripts/fuzz adds the other files that the reader needs.
  let file: String
  /// Corrects a checksum, which mutations would practically never match.
  var repair: @Sendable ([UInt8]) -> [UInt8] = { $0 }
  let read: @Sendable () throws -> Void

  static let all: [String: Reader] = [
    "gguf": Reader(file: "model.gguf") {
      let file = try GGUFFile(path: "model.gguf")
      _ = Inventory(file.tensors)
      _ = try Recipe(explaining: file).yaml()
      try refusable { _ = try Verification(file).run() }
      try refusable { try decode(file) }
      try refusable { try tokenize(file.metadata) }
      _ = try ForwardPass(source: file)
    },
    "header": Reader(file: "model.gguf") {
      let file = try GGUFFile(path: "model.gguf", headerOnly: true)
      _ = Inventory(file.tensors)
      try plan("model.gguf")
    },
    "config.json": Reader(file: "config.json") { try plan("config.json") },
    "safetensors": Reader(file: "model.safetensors") {
      try refusable { _ = try Safetensors(path: "model.safetensors") }
      try decode(try CheckpointDirectory(path: "."))
    },
    "mlx": Reader(file: "model.safetensors") { try decode(try MLXModel(path: ".")) },
    "mlx-config": Reader(file: "config.json") { try decode(try MLXModel(path: ".")) },
    "index.json": Reader(file: "model.safetensors.index.json") { _ = try CheckpointDirectory(path: ".") },
    "tokenizer.json": tokenizer("tokenizer.json"),
    "tokenizer.model": tokenizer("tokenizer.model"),
    "imatrix": importance,
    "imatrix.dat": importance,
    "reference": Reader(file: "a.qref", repair: withGoodDigest) {
      let reference = try CompactReference(path: "a.qref")
      let zeros = Zeros(rowCount: reference.rowCount, vocabularyCount: reference.vocabularyCount)
      guard zeros.isSmall else { return }
      _ = try Drift.measure(base: reference, candidates: [("zeros", zeros)], memory: 1 << 20)
    },
    "logits": Reader(file: "a.logits") {
      let file = try LogitsFile(path: "a.logits", bos: 1)
      let zeros = Zeros(rowCount: file.rowCount, vocabularyCount: file.vocabularyCount)
      guard zeros.isSmall else { return }
      _ = try Drift.measure(base: ("a", file), candidates: [("zeros", zeros)], windows: file.windows, memory: 1 << 20)
    },
    "recipe": Reader(file: "mix.yaml") {
      let text = try TextFile(path: "mix.yaml").text
      let (recipe, model) = (try Recipe(yaml: text, file: "mix.yaml"), try shapes.get())
      try recipe.check(against: model)
      _ = recipe.types(for: model, hasImportance: true)
    },
    "sensitivity": Reader(file: "sensitivity.json") {
      let table = try SensitivityTable(path: "sensitivity.json")
      let model = try shapes.get()
      _ = table.options(
        TypeMenus(of: model, types: [.q2_K, .q4_K, .q8_0], hasImportance: false), alignment: 32)
      _ = table.groups(of: model)
    },
    "journal": Reader(file: "out.journal") {
      let identity = RunIdentity([RunIdentity.Field("version", "1"), RunIdentity.Field("source", "a")])
      _ = try RunJournal(output: "out", identity: identity, restart: false).record("c", sha256: "d")
    },
    "checksums": Reader(file: "model.gguf.sha256") { _ = try TensorChecksums(path: "model.gguf.sha256") },
    "tasks": Reader(file: "tasks") {
      let file = try PositionedFile(path: "tasks")
      let bytes = try file.bytes(in: 0..<file.size)
      let text = String(decoding: bytes, as: UTF8.self)
      func tokenize(_ text: String) -> [Int32] { [1] + text.utf8.map { Int32($0) } }
      try refusable { _ = try ChoiceTask.multipleChoice(bytes, path: "tasks", tokenize: tokenize) }
      try refusable { _ = try ChoiceTask.multipleChoice(bytes, path: "tasks", limit: 1, tokenize: tokenize) }
      try refusable { _ = try ChoiceTask.hellaSwag(text, path: "tasks", limit: 1, tokenize: tokenize) }
      _ = try ChoiceTask.winoGrande(text, path: "tasks", tokenize: tokenize)
    },
    "findings": Reader(file: "findings.json") {
      let file = try PositionedFile(path: "findings.json")
      let json = Data(try file.bytes(in: 0..<file.size))
      let drift = try? DriftReport(json: json)
      let sensitivity = try? SensitivityFindings(json: json)
      guard drift != nil || sensitivity != nil else { return }
      _ = try ReportPage(
        title: "a", files: [], drifts: drift.map { [$0] } ?? [], sensitivity: sensitivity, generator: "qtool"
      ).html()
    },
  ]

  /// Importance for the model in the current directory.
  private static let shapes = Result { try ModelShapes(path: ".") }

  private static func tokenizer(_ name: String) -> Reader {
    Reader(file: name) { try tokenize(try tokenizerMetadata(directory: ".", architecture: "llama")) }
  }

  private static let importance = Reader(file: "a.imatrix") {
    let matrix = try ImportanceMatrix(path: "a.imatrix")
    _ = matrix.coverage
    for tensor in try shapes.get().tensors { _ = matrix.importance(for: tensor) }
    try refusable { _ = try matrix.fitted(to: try shapes.get(), file: "a.imatrix") }
    try matrix.write(legacy: "b.imatrix", overwrite: true)
  }
}

/// Runs a step whose input may be refused, so that later steps still run.
func refusable(_ step: () throws -> Void) throws {
  do {
    try step()
  } catch is TextError {
  } catch is FormatError {
  } catch is MetadataError {
  } catch is FileError {
  } catch is FormatError {
  } catch is RefusedConfig {
  } catch is TokenizerError {
  } catch is ForwardError {
  } catch is ImatrixError {
  } catch is ReferenceError {
  } catch is ScoringError {
  } catch is RecipeError {
  } catch is SensitivityError {
  } catch is PlanError {
  } catch is OtherRun {
  }
}

/// Decodes the small tensors of a model.
private func decode(_ model: any ModelSource) throws {
  for tensor in model.tensors where (1...4096).contains(tensor.shape.count) {
    var values = [Float](repeating: 0, count: tensor.shape.count)
    var span = values.mutableSpan
    try refusable { try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span) }
  }
}

private func tokenize(_ metadata: Metadata) throws {
  let tokenizer = try Tokenizer(metadata: metadata)
  let ids = tokenizer.encode("<s>The  Größe of 12345 ▁数\u{0}\n</s>", parseSpecial: true)
  _ = tokenizer.decode(ids)
  _ = tokenizer.decode(Array(0..<Int32(min(tokenizer.vocabularyCount, 300))))
}

private func plan(_ path: String) throws {
  let source = try PlanSource(path)
  let machine = Machine(memory: 256 << 30, bandwidth: 8e11, reserve: nil)
  var plan = try MemoryPlan(source.model, machine: machine, context: 1 << 24)
  plan.addUnchanged(named: "own")
  for mix in PlannedMix.all(hasImportance: true).suffix(2) { plan.add(mix) }
  _ = plan.best
}

/// A model that predicts all tokens with equal probability.
private struct Zeros: LogitSource {
  let rowCount: Int
  let vocabularyCount: Int

  /// Whether measuring is quick.
  var isSmall: Bool { vocabularyCount <= 4096 && rowCount <= 256 }

  func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    for index in 0..<output.count { output[index] = 0 }
  }
}

/// A reference with the correct checksum of its header and table.
private func withGoodDigest(_ bytes: [UInt8]) -> [UInt8] {
  func integer(_ offset: Int) -> Int? {
    guard offset >= 0, offset <= bytes.count - 8 else { return nil }
    return Int(exactly: (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) })
  }
  // The first offset in the table is the end of the table and its checksum.
  guard let length = integer(8), length < bytes.count, let end = integer(16 + length), end - 32 > 16 + length,
    end <= bytes.count
  else { return bytes }
  return bytes.prefix(end - 32) + DataDigest.bytes(of: Array(bytes.prefix(end - 32))) + bytes.suffix(from: end)
}
