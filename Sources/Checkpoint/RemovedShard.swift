import Files
import Foundation
import GGUF
import Synchronization

/// A safetensors file that a run removed when everything made from its tensors was written.
///
/// A record beside it, `<shard>.removed`, lets a later run open the model and go on. It begins with a line of JSON, the
/// ``Description``; the ranges of the file that were kept follow, which is the header. Reading any other range is an error.
final class RemovedShard: RemoteFile {
  /// Added to the shard's name.
  static let suffix = ".removed"

  private struct Description: Codable {
    /// Bytes of the shard.
    let size: Int
    /// First bytes and ends of the kept ranges, in order.
    let kept: [[Int]]
    /// Fingerprints of the model by structure, which can no longer be computed.
    let fingerprints: [String: String]
    /// Whether the model has a head besides the embeddings, which can no longer be compared.
    let hasHead: Bool
  }

  /// Bytes that the record has, and where they were in the shard.
  private struct Kept {
    let start: Int
    let bytes: [UInt8]
  }

  private let path: String
  private let description: Description
  private let kept: [Kept]
  var size: Int { description.size }
  var modelHasHead: Bool { description.hasHead }

  /// Reads the record of a shard.
  private init(of path: String) throws {
    self.path = path
    let record = path + Self.suffix
    let file = try PositionedFile(path: record)
    let all = try file.bytes(in: 0..<file.size)
    func damaged() -> FormatError {
      FormatError(path: record, "is damaged", hint: "remove it, and download the shard again")
    }
    guard let end = all.firstIndex(of: UInt8(ascii: "\n")),
      let description = try? JSONDecoder().decode(Description.self, from: Data(all[..<end]))
    else { throw damaged() }
    var offset = end + 1
    var kept: [Kept] = []
    for range in description.kept {
      guard range.count == 2, range[0] >= 0, range[0] <= range[1], range[1] <= description.size,
        range[1] - range[0] <= all.count - offset
      else { throw damaged() }
      kept.append(Kept(start: range[0], bytes: Array(all[offset..<offset + range[1] - range[0]])))
      offset += range[1] - range[0]
    }
    guard offset == all.count else { throw damaged() }
    self.description = description
    self.kept = kept
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    guard buffer.isEmpty || fill(buffer, from: offset) else {
      throw FileError(.removed, path: path, offset: offset, code: 0)
    }
  }

  /// False where the record does not have the bytes. A function of its own: optimized by Swift 6.3, a copy within `read`, whose
  /// error is typed, returns as if it had thrown.
  @inline(never)
  private func fill(_ buffer: UnsafeMutableRawBufferPointer, from offset: Int) -> Bool {
    guard let part = kept.first(where: { $0.start <= offset && offset + buffer.count <= $0.start + $0.bytes.count })
    else { return false }
    part.bytes.withUnsafeBytes { bytes in
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[(offset - part.start)...].prefix(buffer.count)))
    }
    return true
  }

  /// Lets the removed shards of a directory be opened.
  ///
  /// - Parameter restoring: otherwise removed shards are an error.
  static func open(_ listing: DirectoryListing, restoring: Bool) throws {
    for name in listing.removed {
      let path = listing.path + "/" + name
      guard restoring else {
        throw FormatError(
          .missing, path: path, "was removed when the tensors in it had been quantized",
          hint: "to quantize the remaining shards, continue that run; for anything else, download the model again")
      }
      let shard = try RemovedShard(of: path)
      RemoteFiles.register(shard, at: path)
      ModelFingerprint.restore(shard.description.fingerprints)
    }
  }

  /// Writes the record of a shard, and removes the shard.
  static func remove(_ path: String, modelHasHead: Bool) throws {
    let shard = try Safetensors(path: path)
    let file = try PositionedFile(path: path)
    let kept = [0..<(shard.tensors.first?.offset ?? file.size)]
    let description = Description(
      size: file.size, kept: kept.map { [$0.lowerBound, $0.upperBound] }, fingerprints: ModelFingerprint.records,
      hasHead: modelHasHead)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let output = try OutputFile(path: path + suffix, overwrite: true)
    try output.write(Array(try encoder.encode(description)) + [UInt8(ascii: "\n")])
    for range in kept { try output.write(try file.bytes(in: range)) }
    try output.commit()
    let folder = URL(filePath: path).deletingLastPathComponent().path
    try OutputFile.syncFolder(folder)
    try unlinked(path)
    try OutputFile.syncFolder(folder)
  }

  static func unlinked(_ path: String) throws {
    guard unlink(path) == 0 || errno == ENOENT else { throw FileError(.write, path: path, code: errno) }
  }
}

extension StoredTensor {
  /// The shard, if it was removed.
  var removedShard: RemovedShard? { file.remoteFile as? RemovedShard }
  var isRemoved: Bool { removedShard != nil }
}
