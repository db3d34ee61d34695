import Checkpoint
import Foundation
import GGUF
import Plan
import Quantize
import Tensors
import TestSupport
import Testing

/// Sizes from shapes alone are those of files that exist, to the byte.
@Suite struct ExactnessTests {
  @Test(arguments: Published.all.files) func tensorsOfPublishedFiles(file: Published.File) throws {
    let plan = try plan(file.model, old: file.form == "old", mixes: [file.mix])
    let row = try #require(plan.rows.first)
    #expect(row.tensorBytes == file.bytes - file.constant)
    #expect(row.fileBytes == file.bytes)
    #expect(plan.metadata.kind == .published)
  }

  /// To the digits that they are printed with; where no tokenizer is there, its bytes are an estimate.
  @Test(arguments: Published.all.printed) func sizesAsPrinted(file: Published.Printed) throws {
    let row = try #require(try plan(file.model, old: file.form == "old", mixes: [file.mix]).rows.first)
    let value = Double(row.fileBytes) / (file.unit == "GB" ? 1e9 : 1_073_741_824)
    let digits = file.size.split(separator: ".").last?.count ?? 0
    #expect(String(format: "%.\(digits)f", value) == file.size)
  }

  @Test(arguments: Published.all.tensors) func tensorsAsPrinted(file: Published.Printed) throws {
    let row = try #require(try plan(file.model, mixes: [file.mix]).rows.first)
    #expect(String(format: "%.2f", Double(row.tensorBytes) / 1_073_741_824) == file.size)
  }

  /// The published R1 mix by its counts of types.
  @Test func typesOfTheDynamicMix() throws {
    let model = try #require(TypedShapes(oldLatentFormOf: try PlanSource("DeepSeek-R1").model))
    let types = Preset.iq1_s.recipe(for: model).types(for: model, hasImportance: true)
    let counts = Dictionary(types.map { ($0, 1) }, uniquingKeysWith: +)
    #expect(counts == [.f32: 361, .q4_K: 190, .q5_K: 116, .q6_K: 184, .iq2_xxs: 6, .iq1_s: 168])
  }

  @Test func theOldFormHasAsManyWeights() throws {
    for name in ["DeepSeek-R1", "DeepSeek-Coder-V2"] {
      let model = try PlanSource(name).model
      let old = try #require(TypedShapes(oldLatentFormOf: model))
      func weights(_ model: any ModelSource) -> Int { model.tensors.reduce(0) { $0 + $1.shape.count } }
      #expect(weights(old) == weights(model))
      #expect(old.tensor(named: "blk.5.attn_kv_b.weight")?.shape.dimensions == [512, 32768])
      #expect(TypedShapes(oldLatentFormOf: old) == nil)
    }
    #expect(TypedShapes(oldLatentFormOf: try PlanSource("Qwen2.5-72B").model) == nil)
  }

  /// Where a config.json is not at hand: the number of weights, as the published files' readers print it.
  @Test(arguments: Published.all.weights.sorted { $0.key < $1.key }) func weights(name: String, printed: String) throws
  {
    let parts = name.split(separator: " ")
    let model = try PlanSource(String(parts[0]), carriesPrediction: parts.count > 1).model
    let count = model.tensors.reduce(0) { $0 + $1.shape.count }
    if let exact = Int(printed) {
      #expect(count == exact)
    } else {
      let isLarge = printed.hasSuffix("B")
      let digits = printed.dropLast(2).split(separator: ".").last?.count ?? 0
      #expect(String(format: "%.\(digits)f", Double(count) / (isLarge ? 1e9 : 1e6)) == printed.dropLast(2))
    }
  }

  private static func config(_ name: String) -> URL {
    Repository.root.appending(path: "Tests/CheckpointTests/Fixtures/configs/\(name).json")
  }

  @Test func everyShapeIsChecked() {
    let counted = Set(Published.all.weights.keys.map { $0.split(separator: " ")[0] })
    for name in KnownShape.all.map(\.name) {
      #expect(counted.contains(name[...]) || FileManager.default.fileExists(atPath: Self.config(name).path), "\(name)")
    }
  }

  /// Shapes that are built in are those of the published config.json.
  @Test(arguments: KnownShape.all.map(\.name).filter { FileManager.default.fileExists(atPath: config($0).path) })
  func builtInShapes(name: String) throws {
    let url = Self.config(name)
    let published = try Checkpoint.ModelShapes(path: url.path)
    let model = try PlanSource(name).model
    // Not the tensors themselves: a failure would print thousands.
    let differing = zip(model.tensors, published.tensors).first { $0.name != $1.name || $0.shape != $1.shape }
    #expect(model.tensors.count == published.tensors.count && differing == nil)
    for (key, value) in published.metadata where !key.hasPrefix("general.") {
      #expect(model.metadata[key] == value, "\(key)")
    }
  }
}
