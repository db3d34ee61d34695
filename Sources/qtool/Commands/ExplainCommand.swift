import ArgumentParser
import Checkpoint
import Fit
import GGUF
import Quantize
import Tensors

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Recover the mix of a GGUF as rules.",
    discussion: """
      The rules are derived from the types alone, and give exactly these types for a model of the same shapes. Only the \
      header of the file, or of each shard, is read.

        qtool explain model.gguf
        qtool explain model.gguf --recipe > model.yaml
        qtool quantize Qwen2.5-7B --recipe model.yaml -o Qwen2.5-7B-same.gguf
      """)

  @Argument(help: "A GGUF file (or its first shard).", completion: .file()) var model: String
  @Flag(name: .long, help: "Print only the recipe, as quantize --recipe reads it.") var recipe = false

  func run() throws {
    let file = try GGUFFile(path: try HubModels.path(model), headerOnly: true)
    if file.missingShards > 0 {
      throw Failure(
        .missing, "\(file.name): \(file.missingShards) shards are missing",
        hint: "download the headers of all shards")
    }
    let found = Recipe(explaining: file)
    if recipe {
      print(try found.yaml(), terminator: "")
      return
    }
    print("\(file.name): \(file.tensors.count) tensors")
    if let name = file.metadata.optionalString("general.name") { print("model: \(name)") }
    for (key, label) in [
      ("quantize.source.fingerprint", "source"), ("quantize.imatrix.fingerprint", "importance matrix"),
      ("quantize.imatrix.file", "importance file"),
    ] {
      if let value = file.metadata.optionalString(key) { print("\(label): \(value)") }
    }
    if let name = file.metadata.optionalString("quantize.evidence") {
      print("evidence: \(Evidence(rawValue: name)?.line ?? name)")
    }
    print("\n" + (try found.yaml()), terminator: "")
    if let nearest = StockMix.nearest(to: file).first { print("\n" + Self.comparison(file, nearest)) }
    if let written = file.metadata.optionalString("quantize.recipe"),
      let recorded = try? Recipe(yaml: written, file: "quantize.recipe")
    {
      let same =
        recorded.types(for: file, hasImportance: file.metadata["quantize.imatrix.file"] != nil)
        == file.tensors.map(\.type)
      print("\nthe recipe in the file's metadata " + (same ? "gives these types" : "gives other types: it was changed"))
    }
  }

  /// The nearest stock mix and the tensors in which it differs.
  private static func comparison(_ file: GGUFFile, _ nearest: StockMix.Nearness) -> String {
    let quantizable = file.tensors.filter(\.isQuantizable)
    let weights = quantizable.reduce(0) { $0 + $1.shape.count }
    let head =
      "nearest stock mix: \(nearest.mix.rawValue) with\(nearest.hasImportance ? "" : "out") an importance matrix"
    guard nearest.differing > 0 else { return head + ", tensor for tensor" }
    let stock = nearest.mix.types(for: file, hasImportance: nearest.hasImportance)
    var rows: [String: (count: Int, weights: Int)] = [:]
    for (tensor, type) in zip(file.tensors, stock) where type != tensor.type {
      let key = "\(tensor.layerClass)\t\(type)\t\(tensor.type)"
      rows[key, default: (0, 0)].count += 1
      rows[key, default: (0, 0)].weights += tensor.shape.count
    }
    var table = Table([
      ("class", .left), ("stock", .left), ("file", .left), ("tensors", .right), ("of all weights", .right),
    ])
    for (key, row) in rows.sorted(by: { ($1.value.weights, $0.key) < ($0.value.weights, $1.key) }) {
      table.add(
        key.split(separator: "\t").map(String.init)
          + ["\(row.count)", Figures.percent(Double(row.weights) / Double(max(1, weights)), 1)])
    }
    return head + ", except for \(nearest.differing) of \(quantizable.count) tensors\n\n" + table.rendered()
  }
}
