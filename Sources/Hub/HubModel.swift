import Files
import Foundation

/// A model of the hub as a folder of this machine: its files have placeholders there, and are read from the hub, from the
/// cache of `hf download`, or from the store of blocks.
///
/// Unsafe: the lock and the removal of the folder are system calls.
public final class HubModel: Sendable {
  /// The path of the model's folder, or of the named file in it.
  public let path: String
  /// The folder.
  let folder: String
  public let reference: HubReference
  /// The commit that is read; nil if it was found in the cache without asking.
  public let commit: String
  /// Bytes of all weights.
  public let weightBytes: Int

  /// - Parameters:
  ///   - stage: the folder for placeholders.
  ///   - reader: reads large files.
  /// - Throws: ``HubError``, and what writing placeholders throws.
  init(_ reference: HubReference, client: HubClient, reader: BlockReader, stage: String) throws {
    self.reference = reference
    let cache = "\(client.settings.cache)/models--" + reference.repository.replacing("/", with: "--")
    if client.settings.isOffline {
      commit = try Self.cachedCommit(reference, cache)
      folder = "\(cache)/snapshots/\(commit)"
      path = folder + (reference.file.map { "/" + $0 } ?? "")
      guard FileManager.default.fileExists(atPath: path) else {
        throw HubError.offline(reference.description, cache: cache)
      }
      weightBytes = 0
      return
    }
    let listing = try HubListing(of: reference, from: client)
    commit = listing.commit
    if let file = reference.file, !listing.entries.contains(where: { $0.path == file }) {
      throw HubError.noFile(reference.description)
    }
    // Named as the repository, since names of models come from folders.
    folder = "\(stage)/\(commit.prefix(12))/\(reference.name)"
    path = folder + (reference.file.map { "/" + $0 } ?? "")
    weightBytes = listing.entries.filter { Self.isWeights($0.path) }.reduce(0) { $0 + $1.size }
    let snapshot = "\(cache)/snapshots/\(commit)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for entry in listing.entries {
      let place = "\(folder)/\(entry.path)"
      let parent = URL(filePath: place).deletingLastPathComponent()
      try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
      if Self.size(of: "\(snapshot)/\(entry.path)") == entry.size {
        try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: "\(snapshot)/\(entry.path)")
        continue
      }
      let isWeights = Self.isWeights(entry.path)
      let file = HubFile(entry, of: reference, commit: commit, client: client, isReadWhole: !isWeights)
      RemoteFiles.register(
        isWeights
          ? RangedFile(file, reader: reader, client: client) : WholeFile(file, client: client), at: place)
      try Data("The content of this file is read from \(file.name) while this program runs.\n".utf8)
        .write(to: URL(filePath: place))
    }
  }

  /// Files of which parts are read. All others are read whole, and checked.
  static func isWeights(_ name: String) -> Bool {
    [".safetensors", ".gguf", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx"].contains {
      name.lowercased().hasSuffix($0)
    }
  }

  private static func size(of path: String) -> Int? {
    (try? PositionedFile(path: path))?.size
  }

  /// The commit of a revision in the cache.
  private static func cachedCommit(_ reference: HubReference, _ cache: String) throws -> String {
    let isCommit = reference.revision.count == 40 && reference.revision.allSatisfy(\.isHexDigit)
    if isCommit { return reference.revision }
    guard let data = FileManager.default.contents(atPath: "\(cache)/refs/\(reference.revision)") else {
      throw HubError.offline(reference.model, cache: cache)
    }
    let commit = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard commit.count == 40, commit.allSatisfy(\.isHexDigit) else {
      throw HubError.offline(reference.model, cache: cache)
    }
    return commit
  }
}

/// A large file, of which ranges are read.
final class RangedFile: RemoteFile {
  private let file: HubFile
  private let reader: BlockReader
  private let client: HubClient

  init(_ file: HubFile, reader: BlockReader, client: HubClient) {
    (self.file, self.reader, self.client) = (file, reader, client)
  }

  var size: Int { file.entry.size }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    client.count { $0.neededBytes += buffer.count }
    do throws(HubError) { try reader.read(file, into: buffer, at: offset) } catch {
      throw FileError(fetching: file.name, at: offset, error)
    }
  }
}

/// A small file, which is read whole and compared with its digest.
///
/// Unchecked: `lock` guards the bytes.
final class WholeFile: RemoteFile, @unchecked Sendable {
  private let file: HubFile
  private let client: HubClient
  private let lock = NSLock()
  private var bytes: [UInt8]?

  init(_ file: HubFile, client: HubClient) { (self.file, self.client) = (file, client) }

  var size: Int { file.entry.size }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    guard !buffer.isEmpty else { return }
    let bytes = try whole()
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
    }
  }

  private func whole() throws(FileError) -> [UInt8] {
    lock.lock()
    defer { lock.unlock() }
    if let bytes { return bytes }
    var all: [UInt8] = []
    client.count { $0.neededBytes += size }
    var failures = 0
    do throws(HubError) {
      while true {
        all = try file.bytes(in: 0..<size)
        if file.entry.matches(all) { break }
        failures += 1
        guard failures < 3 else {
          throw .damaged(file.name)
        }
      }
    } catch {
      throw FileError(fetching: file.name, at: 0, error)
    }
    bytes = all
    return all
  }
}

extension HubListing.Entry {
  /// Whether bytes are those of the whole file.
  func matches(_ bytes: [UInt8]) -> Bool {
    if let sha256 { return DataDigest.hex(of: bytes) == sha256.lowercased() }
    guard let blob, blob.count == 40 else { return true }
    return GitBlob.digest(of: bytes) == blob.lowercased()
  }
}

extension FileError {
  init(fetching name: String, at offset: Int, _ error: HubError) {
    let code: Int32 =
      switch error {
      case .changed, .badAnswer: 0
      case .damaged: EBADMSG
      case .gated, .badToken, .noRepository: EACCES
      case .noRevision, .noFile: ENOENT
      case .noRanges: ENOTSUP
      default: EIO
      }
    let text = error.description
    // A refusal concerns the whole file, so its message has no offset.
    if [EACCES, ENOENT, ENOTSUP].contains(code), let colon = text.range(of: ": ") {
      self.init(
        .fetch, path: String(text[..<colon.lowerBound]), code: code, detail: String(text[colon.upperBound...]))
      return
    }
    let prefix = name + ": "
    self.init(
      .fetch, path: name, offset: offset, code: code,
      detail: text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text)
  }
}
