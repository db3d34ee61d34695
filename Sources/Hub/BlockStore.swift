import Files
import Foundation
import Synchronization

/// Blocks of files on the disk, for models that are read several times. Any number of processes may use a store at once.
///
/// A block is a file under the digest of the whole file, with its own SHA-256 at the end. It appears complete, and a block
/// that does not match its digest is ignored. The store's size is kept in a file whose lock every change takes.
final class BlockStore: Sendable {
  private let folder: String
  /// Bytes of all blocks; nil for as many as the disk has room for.
  private let limit: Int?
  /// Bytes of the disk that are left for others.
  private let reserved: @Sendable () -> Int
  private let started = Date()
  private let number = Atomic<Int>(0)
  /// Digests of files that this run reads. Models are read from end to end, again and again: a block that would replace
  /// another of them would be replaced before it is read.
  private let inUse = Mutex<Set<String>>([])

  /// - Parameters:
  ///   - limit: bytes of all blocks, of all runs; nil for what the disk has free.
  ///   - reserved: bytes to leave free.
  init(folder: String, limit: Int?, reserved: @escaping @Sendable () -> Int) {
    self.folder = folder
    self.limit = limit
    self.reserved = reserved
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  /// The path of a block; nil for files without a digest.
  private func path(_ entry: HubListing.Entry, _ index: Int) -> String? {
    guard let digest = entry.sha256 ?? entry.blob, digest.count >= 40, digest.allSatisfy(\.isHexDigit) else {
      return nil
    }
    inUse.withLock { _ = $0.insert(digest) }
    return "\(folder)/\(digest.prefix(2))/\(digest)/\(index)"
  }

  func has(_ entry: HubListing.Entry, _ index: Int) -> Bool {
    path(entry, index).map { access($0, R_OK) == 0 } ?? false
  }

  /// A block; nil if it is not there or damaged.
  func bytes(_ entry: HubListing.Entry, _ index: Int, count: Int) -> [UInt8]? {
    guard let path = path(entry, index), let file = try? PositionedFile(path: path),
      file.size == count + DataDigest.byteCount, let all = try? file.bytes(in: 0..<file.size)
    else { return nil }
    let bytes = Array(all[..<count])
    guard DataDigest.bytes(of: bytes) == Array(all[count...]) else {
      unlink(path)
      return nil
    }
    // Blocks that are in use are the last to go.
    utimes(path, nil)
    return bytes
  }

  /// Stores a block if there is room. A failure is none of the reader's.
  func keep(_ bytes: [UInt8], _ entry: HubListing.Entry, _ index: Int) {
    guard let path = path(entry, index), !has(entry, index) else { return }
    let size = bytes.count + DataDigest.byteCount
    withLock { total in
      guard makeRoom(for: size, &total) else { return }
      let temporary = "\(folder)/new-\(getpid())-\(number.add(1, ordering: .relaxed).newValue)"
      let data = Data(bytes + DataDigest.bytes(of: bytes))
      let parent = URL(filePath: path).deletingLastPathComponent()
      do {
        try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
        try data.write(to: URL(filePath: temporary))
      } catch {
        unlink(temporary)
        return
      }
      if rename(temporary, path) == 0 { total += size } else { unlink(temporary) }
    }
  }

  /// Removes blocks of other files that no run has used since this one began.
  private func makeRoom(for size: Int, _ total: inout Int) -> Bool {
    func lacking() -> Int {
      max(limit.map { total + size - $0 } ?? 0, size + reserved() - Self.free(folder))
    }
    guard lacking() > 0 else { return true }
    let all = contents()
    total = all.reduce(0) { $0 + $1.size }
    let kept = inUse.withLock { $0 }
    for block in all.sorted(by: { $0.used < $1.used }) where block.used < started {
      guard lacking() > 0 else { break }
      if kept.contains(where: { block.path.contains("/\($0)/") }) { continue }
      if unlink(block.path) == 0 { total -= block.size }
    }
    return lacking() <= 0
  }

  private static func free(_ folder: String) -> Int {
    var space = statvfs()
    guard statvfs(folder, &space) == 0 else { return 0 }
    return Int(clamping: UInt64(space.f_bavail) * UInt64(space.f_frsize))
  }

  private func contents() -> [(path: String, size: Int, used: Date)] {
    let keys: Set<URLResourceKey> = [.isRegularFileKey, .fileSizeKey, .contentModificationDateKey]
    guard let all = FileManager.default.enumerator(at: URL(filePath: folder), includingPropertiesForKeys: Array(keys))
    else { return [] }
    return all.compactMap { $0 as? URL }.compactMap { url in
      guard url.lastPathComponent != Self.lockName, let values = try? url.resourceValues(forKeys: keys),
        values.isRegularFile == true, let size = values.fileSize, let used = values.contentModificationDate
      else { return nil }
      return (url.path, size, used)
    }
  }

  private static let lockName = "size"

  /// Calls `body` with the number of bytes of all blocks while no other process changes the store.
  private func withLock(_ body: (inout Int) -> Void) {
    let descriptor = open("\(folder)/\(Self.lockName)", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX) != 0 { guard errno == EINTR else { return } }
    defer { flock(descriptor, LOCK_UN) }
    var text = [UInt8](repeating: 0, count: 32)
    let count = pread(descriptor, &text, text.count, 0)
    let known = Int(String(decoding: text[..<max(0, count)], as: UTF8.self).prefix { $0.isNumber })
    var total = known ?? contents().reduce(0) { $0 + $1.size }
    let before = total
    body(&total)
    guard total != before || known == nil else { return }
    let line = Array("\(total)\n".utf8)
    ftruncate(descriptor, 0)
    pwrite(descriptor, line, line.count, 0)
  }
}
