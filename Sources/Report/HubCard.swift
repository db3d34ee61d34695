import Foundation
import GGUF
import Perplexity

/// The model card that the hub expects beside quantized files: YAML for its search, and a page for people.
///
/// Everything in it comes from the files and from measurements. Texts of metadata are quoted, so that they can't change
/// the YAML or the page.
public struct HubCard {
  /// A file of the card.
  public struct File {
    /// The name of the file, or of the first shard.
    public let name: String
    /// Bytes of all shards.
    public let bytes: Int
    public let bitsPerWeight: Double
    public let metadata: Metadata
    /// SHA-256 of every shard, by its name.
    public let digests: [(name: String, sha256: String)]
    /// Names of machines that hold the file with the context.
    public let machines: [String]

    public init(
      name: String, bytes: Int, bitsPerWeight: Double, metadata: Metadata, digests: [(name: String, sha256: String)],
      machines: [String]
    ) {
      self.name = name
      self.bytes = bytes
      self.bitsPerWeight = bitsPerWeight
      self.metadata = metadata
      self.digests = digests
      self.machines = machines
    }
  }

  public let files: [File]
  public let drift: DriftReport?
  /// The names of machines, and what they are.
  public let machines: [(name: String, title: String)]
  /// Tokens of context that machines hold.
  public let context: Int
  /// `ORG/NAME` of the model that was quantized; nil if unknown.
  public let baseModel: String?
  public let quantizedBy: String?
  /// The program and its version.
  public let generator: String
  /// The command that joins shards: of the first shard and the file to write.
  public let merge: (String, String) -> String

  public init(
    files: [File], drift: DriftReport?, machines: [(name: String, title: String)], context: Int, baseModel: String?,
    quantizedBy: String?, generator: String,
    merge: @escaping (String, String) -> String
  ) {
    precondition(!files.isEmpty, "a card without files")
    self.files = files
    self.drift = drift
    self.machines = machines
    self.context = context
    self.baseModel = baseModel
    self.quantizedBy = quantizedBy
    self.generator = generator
    self.merge = merge
  }

  private var metadata: Metadata { files[0].metadata }

  /// `ORG/NAME` of the model that was quantized, as the files' metadata have it; nil if they do not.
  public static func baseModel(of metadata: Metadata) -> String? {
    let address = metadata.optionalString("general.source.repo_url") ?? metadata.optionalString("general.repo_url")
    let parts = address?.split(separator: "/") ?? []
    guard parts.count == 4, parts[1] == "huggingface.co" else { return nil }
    return "\(parts[2])/\(parts[3])"
  }

  // MARK: front matter

  /// The keys that the hub reads.
  public var frontMatter: String {
    var lines = ["---"]
    if let baseModel {
      lines += ["base_model: \(Self.quoted(baseModel))", "base_model_relation: quantized"]
    }
    for (key, name) in [("license", "license"), ("license.name", "license_name"), ("license.link", "license_link")] {
      if let value = metadata.optionalString("general.\(key)") { lines.append("\(name): \(Self.quoted(value))") }
    }
    if let languages = metadata.optionalStrings("general.languages"), !languages.isEmpty {
      lines.append("language:")
      lines += languages.map { "- \(Self.quoted($0))" }
    }
    lines += ["library_name: gguf", "tags:"]
    lines += tags.map { "- \(Self.quoted($0))" }
    if let quantizedBy { lines.append("quantized_by: \(Self.quoted(quantizedBy))") }
    return (lines + ["---"]).joined(separator: "\n")
  }

  private var tags: [String] {
    let usesImportance = files.contains { $0.metadata["quantize.imatrix.file"] != nil }
    let all =
      ["gguf", "quantized"] + (usesImportance ? ["imatrix"] : []) + (metadata.optionalStrings("general.tags") ?? [])
    var seen = Set<String>()
    return all.filter { !$0.isEmpty && seen.insert($0).inserted }
  }

  /// A YAML string: metadata may contain any character.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 32 || scalar.value == 127 || (0x80..<0xA0).contains(scalar.value): result += " "
      case "\u{2028}", "\u{2029}": result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Text on a page: signs of Markdown and HTML are escaped, and lines are joined.
  static func plain(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      if character.isNewline {
        result += " "
      } else {
        if "\\`*_{}[]<>()#|&!~".contains(character) { result += "\\" }
        result.append(character)
      }
    }
  }

  /// A name that a file gives, without the folders of the machine on which the file was made.
  private static func name(_ text: String) -> String {
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map {
      $0.hasPrefix("/") ? $0.split(separator: "/").last ?? "" : $0
    }
    return plain(words.joined(separator: " "))
  }

  // MARK: page

  /// The whole README.md.
  public var markdown: String {
    let name = metadata.optionalString("general.name") ?? files[0].name
    var parts = [frontMatter, "# \(Self.plain(name)) in GGUF"]
    let base = baseModel.map { "[\(Self.plain($0))](https://huggingface.co/\($0))" } ?? Self.plain(name)
    parts.append("Quantized files of \(base), made with \(generator).")
    parts.append("## Files\n\n" + table)
    parts.append(notes)
    parts.append("## How they were made\n\n" + files.map(making).joined(separator: "\n\n"))
    parts.append("## How to run them\n\n" + running)
    parts.append(
      "## SHA-256\n\n```\n" + files.flatMap(\.digests).map { "\($0.sha256)  \($0.name)\n" }.joined() + "```")
    return parts.joined(separator: "\n\n") + "\n"
  }

  private var table: String {
    var head = ["File", "Size", "Bits per weight"]
    if drift != nil { head += ["KLD", "Perplexity", "Same first token"] }
    head.append("Machines")
    let rows = files.map { file in
      var cells = ["[\(file.name)](./\(file.name))", Self.bytes(file.bytes), Self.fixed(file.bitsPerWeight, 2)]
      if let drift {
        if let model = drift.models.first(where: { $0.name == file.name }) {
          let statistics = model.statistics
          cells += [
            "\(Self.fixed(statistics.divergence.value, 4)) ± \(Self.fixed(model.interval.width / 2, 4))",
            Self.fixed(statistics.perplexity.value, 3), Self.fixed(statistics.sameTop.value * 100, 1) + " %",
          ]
        } else {
          cells += ["", "", ""]
        }
      }
      return cells + [file.machines.isEmpty ? "none" : file.machines.joined(separator: ", ")]
    }
    return ([head, head.map { _ in "---" }] + rows).map { "| " + $0.joined(separator: " | ") + " |" }
      .joined(separator: "\n")
  }

  private var notes: String {
    var lines: [String] = []
    if let drift {
      let texts = drift.texts.map { Self.name($0.name) }.joined(separator: ", ")
      lines.append(
        "KLD is the mean Kullback-Leibler divergence from \(Self.name(drift.base.name)) in nats, with half the width of its "
          + "95 % interval, over \(drift.windows) windows of \(drift.context) tokens of \(texts).")
    }
    let titles = machines.map { "\($0.name) (\(Self.plain($0.title)))" }.joined(separator: ", ")
    lines.append("Machines hold the file and an F16 cache of \(context) tokens, of these: \(titles).")
    return lines.joined(separator: "\n")
  }

  private func making(_ file: File) -> String {
    let metadata = file.metadata
    func text(_ key: String) -> String? { metadata.optionalString("quantize.\(key)").map(Self.name) }
    var lines = ["### \(file.name)", ""]
    if let evidence = text("evidence") { lines.append("- Types fitted to the size; evidence: \(evidence).") }
    if let matrix = text("imatrix.file") {
      let chunks = metadata.optionalInt("quantize.imatrix.chunks_count") ?? 0
      let windows = chunks > 0 ? ", \(chunks) windows" : ""
      lines.append("- Importance matrix: \(matrix), of \(text("imatrix.dataset") ?? "an unnamed text")\(windows).")
    } else {
      lines.append("- Without an importance matrix.")
    }
    if let dataset = text("feedback.dataset") { lines.append("- Rounding errors fed back by \(dataset).") }
    if let recipe = metadata.optionalString("quantize.recipe") {
      // A fence that is longer than any in the text.
      let fence = String(repeating: "`", count: max(3, Self.longestRun(of: "`", in: recipe) + 1))
      let body = recipe.hasSuffix("\n") ? recipe : recipe + "\n"
      lines += ["", "<details><summary>Recipe</summary>", "", "\(fence)yaml\n\(body)\(fence)", "", "</details>"]
    }
    return lines.joined(separator: "\n")
  }

  private static func longestRun(of character: Character, in text: String) -> Int {
    var (longest, run) = (0, 0)
    for other in text {
      run = other == character ? run + 1 : 0
      longest = max(longest, run)
    }
    return longest
  }

  private var running: String {
    let file = files[0].name
    let stem = file.replacing(/(-\d{5}-of-\d{5})?\.gguf$/, with: "")
    let isShard = file.firstRange(of: /-\d{5}-of-\d{5}\.gguf$/) != nil
    var lines = [
      "llama.cpp:", "", "```sh\nllama-cli -m \(file) -c \(context)\n```", "", "Ollama:", "",
    ]
    if isShard {
      lines.append("Merge the shards first, with `\(merge(file, stem + ".gguf"))`, then:\n")
    }
    lines += [
      "```sh\necho 'FROM ./\(isShard ? stem + ".gguf" : file)' > Modelfile\nollama create \(stem.lowercased()) -f Modelfile",
      "ollama run \(stem.lowercased())\n```", "", "LM Studio:", "", "```sh\nlms import \(file)\n```", "",
      "MLX reads MLX directories, not GGUF files: convert the original model for it.",
    ]
    return lines.joined(separator: "\n")
  }

  private static func bytes(_ count: Int) -> String {
    for (unit, size) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] where Double(count) >= size {
      return fixed(Double(count) / size, 2) + " " + unit
    }
    return "\(count) B"
  }

  private static func fixed(_ value: Double, _ digits: Int) -> String {
    String(format: "%.\(digits)f", value)
  }
}
