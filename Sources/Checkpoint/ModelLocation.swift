import Files
import Foundation

/// The directory that a path leads to, and the weights in it that the path names.
///
/// A path names a directory; or one file of its weights (an index, a safetensors file, one of several shards), which
/// decides where a directory holds several models; or the folder of a model in Hugging Face's cache
/// (`models--ORG--NAME`), whose only snapshot is the directory.
public struct ModelLocation: Sendable {
  public let directory: String
  /// The name in ``directory`` of the file that the path names; nil where it names the directory.
  let weights: String?

  /// True for paths that ``CheckpointDirectory`` opens; all others are GGUF files.
  public static func isCheckpoint(_ path: String) -> Bool {
    isDirectory(path) || path.hasSuffix(".safetensors") || path.hasSuffix(".safetensors.index.json")
  }

  /// - Throws: ``FormatError`` for a cache that holds no snapshot, or several.
  public init(_ path: String) throws {
    guard isDirectory(path) else {
      guard FileManager.default.fileExists(atPath: path) else { throw Self.missing(path) }
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

  /// The name of the model: that of the directory, or in Hugging Face's cache, where directories are named after
  /// commits, the one that the cache knows it by.
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
      .missing, path: path, target.map { "is a link to \($0), which is not there" } ?? "no such file or directory",
      hint: target == nil ? "check the path" : "the download is incomplete: download the model again")
  }

  /// The only snapshot in the folder of a cached model; nil for other folders.
  private static func snapshot(of listing: DirectoryListing) throws -> String? {
    if listing.names.contains("config.json") { return nil }
    let isInside = listing.path == "snapshots" || listing.path.hasSuffix("/snapshots")
    guard isInside || listing.isDirectory("snapshots") else {
      let models = listing.names.filter { $0.hasPrefix("models--") && listing.isDirectory($0) }
      guard !models.isEmpty else { return nil }
      throw FormatError(
        .missing, path: listing.path, "is a cache of \(models.count == 1 ? "one model" : "\(models.count) models")",
        hint: "name a model in it: " + someOf(models.map { listing.path + "/" + $0 }))
    }
    let snapshots = isInside ? listing : DirectoryListing(path: listing.path + "/snapshots")
    // A revision of which only the tokenizer was asked for is none of the model.
    let complete = snapshots.names.filter {
      DirectoryListing(path: snapshots.path + "/" + $0).names.contains("config.json")
    }
    guard let only = complete.first else {
      throw FormatError(
        .missing, path: snapshots.path, "holds no snapshot with a config.json",
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

/// True for paths that lead to a directory.
func isDirectory(_ path: String) -> Bool {
  var isDirectory: ObjCBool = false
  return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
}

/// Three of several names at most, for messages.
func someOf(_ names: [String]) -> String {
  names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", … (\(names.count))" : "")
}
