import Files
import Foundation

/// The model directory that a path refers to, and the file of weights that it selects.
///
/// A path is one of:
/// - a directory
/// - a file of its weights (an index, a safetensors file, a shard), which selects among several models in the directory
/// - the folder of a model in Hugging Face's cache (`models--ORG--NAME`), whose only snapshot is the directory
public struct ModelLocation: Sendable {
  /// The path of the model's directory.
  public let directory: String
  /// The name in ``directory`` of the selected file; nil if the path is a directory.
  let weights: String?

  /// True for paths that ``CheckpointDirectory`` opens. All others are GGUF files.
  public static func isCheckpoint(_ path: String) -> Bool {
    isDirectory(path) || path.hasSuffix(".safetensors") || path.hasSuffix(".safetensors.index.json")
  }

  /// - Parameter restoring: whether the file may be a shard that an earlier run has removed.
  /// - Throws: `FormatError` if the file does not exist, or a cache has no snapshot or more than one.
  public init(_ path: String, restoring: Bool = false) throws {
    guard isDirectory(path) else {
      let record = path + RemovedShard.suffix
      guard FileManager.default.fileExists(atPath: path) || restoring && FileManager.default.fileExists(atPath: record)
      else { throw Self.missing(path) }
      let url = URL(filePath: path)
      directory = path.contains("/") ? String(path[..<path.lastIndex(of: "/")!]) : "."
      weights = url.lastPathComponent
      return
    }
    var directory = path
    while directory.count > 1, directory.hasSuffix("/") { directory.removeLast() }
    weights = nil
    self.directory = try Self.snapshot(of: DirectoryListing(path: directory)) ?? directory
  }

  /// The model's name: the directory's, or that of the cache folder if the directory is a snapshot named after a
  /// commit.
  var name: String {
    let parts = URL(filePath: directory).standardizedFileURL.pathComponents
    if parts.count > 2, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--") {
      let name = parts[parts.count - 3].split(separator: "--", omittingEmptySubsequences: true).dropFirst()
      if let last = name.last { return String(name.count > 2 ? name.dropFirst().joined(separator: "--")[...] : last) }
    }
    return parts.last ?? directory
  }

  private static func missing(_ path: String) -> FormatError {
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    return FormatError(
      .missing, path: path, target.map { "is a link to \($0), which does not exist" } ?? "no such file or directory",
      hint: target == nil ? "check the path" : "the download is incomplete: download the model again")
  }

  /// The only snapshot in the folder of a cached model; nil for other folders.
  private static func snapshot(of listing: DirectoryListing) throws -> String? {
    if listing.hasConfiguration { return nil }
    let isInside = listing.path == "snapshots" || listing.path.hasSuffix("/snapshots")
    guard isInside || listing.isDirectory("snapshots") else {
      let models = listing.names.filter { $0.hasPrefix("models--") && listing.isDirectory($0) }
      guard !models.isEmpty else { return nil }
      throw FormatError(
        .missing, path: listing.path, "is a cache of \(models.count == 1 ? "one model" : "\(models.count) models")",
        hint: "name a model in it: " + someOf(models.map { listing.path + "/" + $0 }))
    }
    let snapshots = isInside ? listing : DirectoryListing(path: listing.path + "/snapshots")
    // A download of only the tokenizer leaves a snapshot without config.json.
    let complete = snapshots.names.filter {
      DirectoryListing(path: snapshots.path + "/" + $0).hasConfiguration
    }
    guard let only = complete.first else {
      throw FormatError(
        .missing, path: snapshots.path, "has no snapshot with a config.json",
        hint: "the download is incomplete: download the model again")
    }
    guard complete.count == 1 else {
      let root = isInside ? snapshots.path + "/.." : listing.path
      let main = (try? String(contentsOfFile: root + "/refs/main", encoding: .utf8))?
        .trimmingCharacters(in: .whitespacesAndNewlines)
      let current = main.flatMap { complete.contains($0) ? $0 : nil }
      throw FormatError(
        path: snapshots.path, "holds \(complete.count) snapshots of the model",
        hint: current.map { "name one; refs/main is \(snapshots.path)/\($0)" }
          ?? "name one: " + someOf(complete.map { snapshots.path + "/" + $0 }))
    }
    return snapshots.path + "/" + only
  }
}

/// True if a directory exists at `path`.
func isDirectory(_ path: String) -> Bool {
  var isDirectory: ObjCBool = false
  return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
}

/// The first three names and the number of all, for messages.
func someOf(_ names: [String]) -> String {
  names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", … (\(names.count))" : "")
}
