import Files
import Foundation
import GGUF

extension CheckpointDirectory: DividedSource {
  public func files(of tensor: TensorInfo) -> Set<String> {
    Set(assembled[tensor.name]?.files?.map(\.path) ?? [])
  }

  public func excludeOthers() throws { try lock.exclude() }

  public func remove(_ file: String) throws {
    try RemovedShard.remove(file, modelHasHead: assembled["output.weight"] != nil)
    // The space of a removed file becomes free when nothing has it open.
    for tensor in assembled.values { for part in tensor.files ?? [] where part.path == file { part.release() } }
  }

  public func removeRemaining() throws {
    for file in files {
      try RemovedShard.unlinked(file)
      for tensor in assembled.values { for part in tensor.files ?? [] where part.path == file { part.release() } }
    }
    // Records last: with a record, a missing shard is one that was removed.
    for file in files + Array(removedFiles) { try RemovedShard.unlinked(file + RemovedShard.suffix) }
  }

  /// Why shards of the model can't be removed one by one; nil if they can.
  public var obstacleToRemoving: String? {
    if tensors.contains(where: { assembled[$0.name]?.files == nil }) {
      return "its weights are packed, and each is in several tensors"
    }
    for file in files where !removedFiles.contains(file) {
      if (try? FileManager.default.destinationOfSymbolicLink(atPath: file)) != nil {
        return "\(file) is a link, whose removal frees no space"
      }
    }
    return nil
  }

  /// The shards that may be the last copies: nothing shows that they were downloaded from the hub and not changed since.
  ///
  /// `hf download --local-dir` leaves `.cache/huggingface/download/<name>.metadata`: the commit, the file's digest, and the
  /// time of the download.
  public var possibleLastCopies: [String] {
    files.filter { file in
      guard !removedFiles.contains(file) else { return false }
      let name = URL(filePath: file).lastPathComponent
      let record = "\(directory)/.cache/huggingface/download/\(name).metadata"
      guard let text = try? String(contentsOfFile: record, encoding: .utf8),
        let changed = (try? FileManager.default.attributesOfItem(atPath: file))?[.modificationDate] as? Date
      else { return true }
      let lines = text.split(separator: "\n").map(String.init)
      guard lines.count >= 3, lines[0].count == 40, let time = Double(lines[2]) else { return true }
      return changed.timeIntervalSince1970 > time + 1
    }
  }
}
