import Files
import Foundation

/// The names in a directory, with the links among them that lead nowhere.
struct DirectoryListing: Sendable {
  let path: String
  /// Sorted; links that lead nowhere are among them.
  let names: [String]
  /// What a link points to that is not there, by the link's name.
  private let dangling: [String: String]

  /// The files beside the weights that are read where they exist.
  private static let companions = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja", "chat_template.json",
    "README.md",
  ]

  /// A directory that can't be listed counts as empty: the file that is missing in it is named later.
  init(path: String) {
    self.path = path
    let files = FileManager.default
    names = ((try? files.contentsOfDirectory(atPath: path)) ?? []).sorted()
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

  /// The error for a link that leads nowhere, as a download that was interrupted leaves it; nil for all else.
  func danglingLink(_ name: String) -> FormatError? {
    dangling[name].map { target in
      FormatError(
        .missing, path: path + "/" + name, "is a link to \(target), which is not there",
        hint: "the download is incomplete: download the model again")
    }
  }

  /// Refuses links that lead nowhere and pointers of Git LFS among the files that would otherwise count as absent, or be
  /// taken for what they are not.
  func checkCompanions() throws {
    for name in Self.companions where names.contains(name) {
      if let error = danglingLink(name) { throw error }
      let file = try PositionedFile(path: path + "/" + name)
      // Pointers are no longer than a kilobyte.
      guard file.size <= 1024 else { continue }
      let beginning = try file.bytes(in: 0..<min(file.size, ForeignFile.length))
      guard let foreign = ForeignFile(beginning), foreign == .gitPointer else { continue }
      throw FormatError(path: file.path, "is \(foreign.noun), not the file itself", hint: foreign.hint)
    }
  }
}
