import Files
import Foundation

/// The names in a directory, and which of them are dangling links.
struct DirectoryListing: Sendable {
  let path: String
  /// Sorted; includes dangling links.
  let names: [String]
  /// Targets of dangling links, by the link's name.
  private let dangling: [String: String]

  /// The files beside the weights that are read if they exist.
  private static let companions = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    "README.md", "params.json", "tekken.json", "tiktoken.model",
  ]

  /// Whether a file declares the model's shape.
  var hasConfiguration: Bool { names.contains("config.json") || names.contains(MistralForm.parameters) }

  /// Shards that an earlier run removed, and of which it left records.
  let removed: [String]

  /// A directory that can't be listed counts as empty. A later error names the missing file.
  ///
  /// - Parameter restoring: whether removed shards are listed.
  init(path: String, restoring: Bool = false) {
    self.path = path
    let files = FileManager.default
    let present = (try? files.contentsOfDirectory(atPath: path)) ?? []
    removed = present.filter { $0.hasSuffix(RemovedShard.suffix) }.map {
      String($0.dropLast(RemovedShard.suffix.count))
    }
    .filter { !present.contains($0) }.sorted()
    names = (present + (restoring ? removed : [])).sorted()
    var dangling: [String: String] = [:]
    for name in names where !files.fileExists(atPath: path + "/" + name) {
      dangling[name] = try? files.destinationOfSymbolicLink(atPath: path + "/" + name)
    }
    self.dangling = dangling
  }

  func has(_ name: String) -> Bool { names.contains(name) && dangling[name] == nil }

  func isDirectory(_ name: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: path + "/" + name, isDirectory: &isDirectory)
      && isDirectory.boolValue
  }

  /// Names that end in one of `suffixes`.
  func names(endingIn suffixes: String...) -> [String] {
    names.filter { name in suffixes.contains { name.lowercased().hasSuffix($0) } }
  }

  /// The error for a dangling link, such as an interrupted download leaves; nil for other names.
  func danglingLink(_ name: String) -> FormatError? {
    dangling[name].map { target in
      FormatError(
        .missing, path: path + "/" + name, "is a link to \(target), which does not exist",
        hint: "the download is incomplete: download the model again")
    }
  }

  /// Refuses companions that are dangling links or Git LFS pointers. Otherwise they would count as absent or be
  /// misread.
  func checkCompanions() throws {
    for name in Self.companions where names.contains(name) {
      if let error = danglingLink(name) { throw error }
      let file = try PositionedFile(path: path + "/" + name)
      // A pointer has at most 1,024 bytes.
      guard file.size <= 1024 else { continue }
      let beginning = try file.bytes(in: 0..<min(file.size, ForeignFile.length))
      guard let foreign = ForeignFile(beginning), foreign == .gitPointer else { continue }
      throw FormatError(path: file.path, "is \(foreign.noun), not the file itself", hint: foreign.hint)
    }
  }
}
