import ArgumentParser
import Checkpoint
import GGUF
import Inspection
import MLX
import Tensors

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show a model's metadata, tensors, and bytes by type and class.",
    usage: "qtool inspect <file> [<options>]",
    discussion: """
      Only the header of a GGUF is read, so that the first bytes of a download are enough. Tensors that differ only in \
      their layer share a row.

        qtool inspect DeepSeek-R1-UD-IQ1_S-00001-of-00003.gguf
        qtool inspect model.gguf --tensors
        qtool inspect model.gguf --key tokenizer.ggml.model
      """)

  @Argument(
    help: ArgumentHelp("A GGUF file (or its first shard) or a Hugging Face directory.", valueName: "file"),
    completion: .file())
  var model: String
  @Flag(name: .long, help: "List every tensor.") var tensors = false
  @Option(name: .long, help: ArgumentHelp("Print only the whole value of one key.", valueName: "key"))
  var key: String?
  @Flag(name: .long, help: "Print JSON.") var json = false
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions

  func run() throws {
    let inspected = try Inspected(path: model, splitter)
    let source = inspected.source
    if let key {
      guard let value = source.metadata[key] else {
        throw Failure(.data, "\(model): has no key \(key)", hint: "qtool inspect \(model) lists the keys")
          .suggesting(key, among: source.metadata.keys)
      }
      for note in source.openingNotes { Terminal.write("note: \(note)") }
      print(MetadataText.whole(value))
      return
    }
    let inventory = Inventory(source.tensors)
    if json {
      try printJSON(InspectionJSON(inspected, inventory, tensors: tensors))
      return
    }
    print(summary(inspected, inventory))
    print("\n" + metadataTable(source.metadata))
    if let tokenizer = tokenizer(source.metadata) { print("\n" + wrapped("tokenizer: " + tokenizer, indent: 11)) }
    if source.tensors.isEmpty { return }
    print("\n" + (tensors ? InventoryTable.tensors(source.tensors) : InventoryTable.classes(inventory)))
    print("\n" + InventoryTable.types(inventory))
  }

  private func summary(_ inspected: Inspected, _ inventory: Inventory) -> String {
    var lines = [
      "\(inspected.source.name): \(inspected.form)",
      "\(Figures.grouped(inventory.weights)) weights in \(inspected.source.tensors.count) tensors, "
        + "\(Figures.grouped(inventory.bytes)) bytes of them, "
        + "\(Figures.fixed(inventory.bitsPerWeight, 4)) bits per weight",
    ]
    lines += inspected.notes.map { "note: \($0)" }
    return lines.joined(separator: "\n")
  }

  private func metadataTable(_ metadata: Metadata) -> String {
    var table = Table([("key", .left), ("type", .left), ("value", .left)])
    let width = metadata.keys.map(\.count).max() ?? 0
    for (key, value) in metadata {
      // Keys, types and values share 100 columns.
      table.add([key, MetadataText.typeName(value), MetadataText.line(value, width: max(24, 84 - width))])
    }
    return table.rendered()
  }

  /// One line with kind, splitter, sizes and special tokens.
  private func tokenizer(_ metadata: Metadata) -> String? {
    guard let kind = metadata.optionalString("tokenizer.ggml.model") else { return nil }
    let names = ["gpt2": "byte-level BPE", "llama": "SentencePiece", "bert": "WordPiece", "t5": "unigram"]
    var parts = [names[kind] ?? kind]
    if let splitter = metadata.optionalString("tokenizer.ggml.pre") { parts.append("splitter \(splitter)") }
    let tokens = metadata.optionalStrings("tokenizer.ggml.tokens")
    if let tokens { parts.append("\(Figures.grouped(tokens.count)) tokens") }
    if let merges = metadata.optionalStrings("tokenizer.ggml.merges") {
      parts.append("\(Figures.grouped(merges.count)) merges")
    }
    for special in ["bos", "eos"] {
      if let id = metadata.optionalInt("tokenizer.ggml.\(special)_token_id") {
        let text = tokens.flatMap { $0.indices.contains(id) ? " \($0[id])" : nil } ?? ""
        parts.append("\(special.uppercased()) \(id)\(text)")
      }
    }
    parts.append(metadata["tokenizer.chat_template"] == nil ? "no chat template" : "chat template")
    return parts.joined(separator: ", ")
  }
}

/// A model without its weights.
struct Inspected {
  let source: any ModelSource
  /// Description of the file: `GGUF of 42,520,398,528 bytes`.
  let form: String
  let notes: [String]

  init(path: String, _ splitter: SplitterOptions) throws {
    let path = try splitter.located(path)
    if ModelLocation.isCheckpoint(path) {
      source = try splitter.open(path, Progress(quiet: true))
      form = source is MLXModel ? "MLX directory" : "Hugging Face directory"
      notes = source.openingNotes
      return
    }
    if let key = splitter.config.ignored.first { throw UnneededIgnoring(path: path, key: key) }
    let file = try GGUFFile(path: path, headerOnly: true)
    var notes: [String] = []
    if file.missingShards > 0 {
      notes.append("\(file.missingShards) shards are missing; their tensors are not shown")
    } else if (try? GGUFFile(path: path)) == nil {
      notes.append("tensor data is missing or truncated; only the header is present")
    }
    let shards = file.paths.count > 1 ? " in \(file.paths.count) shards" : ""
    source = file
    form = "GGUF of \(Figures.grouped(file.bytes)) bytes\(shards)"
    self.notes = notes
  }
}
