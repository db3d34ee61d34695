import Files
import Foundation

/// Reads files of the hub in blocks, several of them ahead, so that the time of a request is hidden behind others.
///
/// A reader that goes through a file from some byte on gets whole blocks; a reader of single rows gets these alone.
///
/// Unchecked: `condition` guards all state.
final class BlockReader: @unchecked Sendable {
  /// Bytes of a block.
  let blockBytes: Int
  private let maximumBlocks: Int
  private let connections: Int
  /// Bytes that a reader must have read in a row to get whole blocks.
  private let sequentialBytes: Int
  private let store: BlockStore?

  private let condition = NSCondition()
  private var blocks: [Key: Block] = [:]
  private var queue: [Key] = []
  private var idleWorkers = 0
  private var workers = 0
  private var clock = 0
  private var isClosed = false
  /// Memory of whole blocks that were removed, for the next ones: new memory would be cleared first, page by page.
  private var spare: [[UInt8]] = []
  /// Single rows that were read, which runs read several times to recognise their model.
  private var rows: [RowKey: [UInt8]] = [:]
  private var rowBytes = 0
  private let maximumRowBytes: Int
  private var hashers: [ObjectIdentifier: FileHasher] = [:]
  /// Ends of recent reads, by file.
  private var runs: [ObjectIdentifier: [Run]] = [:]

  struct Key: Hashable {
    let file: ObjectIdentifier
    let index: Int
  }

  private struct RowKey: Hashable {
    let file: ObjectIdentifier
    let range: Range<Int>
  }

  private struct Run {
    var end: Int
    var count: Int
    var used: Int
  }

  private final class Block {
    let file: HubFile
    /// Nil while it is fetched.
    var result: Result<[UInt8], HubError>?
    var used = 0
    init(_ file: HubFile) { self.file = file }
  }

  /// - Parameters:
  ///   - memory: bytes of blocks and rows that are kept or in work.
  ///   - connections: requests at once, at most; fewer where the memory holds few blocks.
  init(
    store: BlockStore?, blockBytes: Int = 4 << 20, memory: Int = 256 << 20, connections: Int = 8
  ) {
    self.store = store
    self.blockBytes = blockBytes
    maximumRowBytes = memory / 8
    let blocks = (memory - memory / 8) / blockBytes
    self.connections = max(1, min(connections, blocks / 4))
    maximumBlocks = max(3, blocks - self.connections)
    sequentialBytes = blockBytes / 8
  }

  /// Fills `buffer` with a file's bytes from `offset` on.
  func read(_ file: HubFile, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(HubError) {
    guard !buffer.isEmpty else { return }
    let range = offset..<offset + buffer.count
    if let bytes = keptRow(range, of: file) { return buffer.copyBytes(from: bytes) }
    if let ahead = blocksAhead(of: file, range) {
      for index in offset / blockBytes...(range.upperBound - 1) / blockBytes {
        let bytes = try block(index, of: file, ahead: ahead)
        copy(bytes, index, to: buffer, range)
      }
    } else {
      let bytes = try row(range, of: file)
      buffer.copyBytes(from: bytes)
    }
  }

  /// Bytes that are read alone.
  private func row(_ range: Range<Int>, of file: HubFile) throws(HubError) -> [UInt8] {
    let key = RowKey(file: ObjectIdentifier(file), range: range)
    let bytes = try file.bytes(in: range)
    condition.lock()
    defer { condition.unlock() }
    if rowBytes + bytes.count > maximumRowBytes { (rows, rowBytes) = ([:], 0) }
    if rows.updateValue(bytes, forKey: key) == nil { rowBytes += bytes.count }
    return bytes
  }

  private func keptRow(_ range: Range<Int>, of file: HubFile) -> [UInt8]? {
    condition.lock()
    defer { condition.unlock() }
    return rows[RowKey(file: ObjectIdentifier(file), range: range)]
  }

  /// Ends the threads when no more is read.
  func close() {
    condition.lock()
    defer { condition.unlock() }
    isClosed = true
    (blocks, rows, queue, hashers, spare) = ([:], [:], [], [:], [])
    condition.broadcast()
  }

  private func copy(_ bytes: [UInt8], _ index: Int, to buffer: UnsafeMutableRawBufferPointer, _ range: Range<Int>) {
    let start = index * blockBytes
    let part = max(start, range.lowerBound)..<min(start + bytes.count, range.upperBound)
    bytes.withUnsafeBytes { bytes in
      UnsafeMutableRawBufferPointer(rebasing: buffer[(part.lowerBound - range.lowerBound)...]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: bytes[part.lowerBound - start..<part.upperBound - start]))
    }
  }

  /// The number of blocks to fetch behind those of a range; nil to read the range alone. Blocks are read if they are there,
  /// or if the reader comes from the bytes before: the further it has come, the more blocks ahead.
  private func blocksAhead(of file: HubFile, _ range: Range<Int>) -> Int? {
    let id = ObjectIdentifier(file)
    condition.lock()
    defer { condition.unlock() }
    clock += 1
    var known = runs[id] ?? []
    // Threads take parts of a range in any order.
    let run = known.firstIndex { abs(range.lowerBound - $0.end) <= blockBytes }
    var count = range.count
    if let run {
      count += known[run].count
      known[run] = Run(end: max(known[run].end, range.upperBound), count: count, used: clock)
    } else {
      if known.count >= 32, let oldest = known.indices.min(by: { known[$0].used < known[$1].used }) {
        known.remove(at: oldest)
      }
      known.append(Run(end: range.upperBound, count: count, used: clock))
    }
    runs[id] = known
    if count >= sequentialBytes { return min(connections, count / blockBytes + 1) }
    let indices = range.lowerBound / blockBytes...(range.upperBound - 1) / blockBytes
    let arePresent = indices.allSatisfy { index in
      blocks[Key(file: id, index: index)] != nil || store?.has(file.entry, index) == true
    }
    return arePresent ? 0 : nil
  }

  private func block(_ index: Int, of file: HubFile, ahead: Int) throws(HubError) -> [UInt8] {
    let id = ObjectIdentifier(file)
    let key = Key(file: id, index: index)
    condition.lock()
    defer { condition.unlock() }
    clock += 1
    // The wanted block goes first.
    request(key, file, isUrgent: true)
    let last = (file.entry.size - 1) / blockBytes
    for next in index + 1..<max(index + 1, min(last, index + ahead) + 1) {
      request(Key(file: id, index: next), file, isUrgent: false)
    }
    while true {
      guard let block = blocks[key] else {
        request(key, file, isUrgent: true)
        continue
      }
      block.used = clock
      switch block.result {
      case .success(let bytes)?: return bytes
      case .failure(let error)?:
        // A later read tries again.
        blocks[key] = nil
        throw error
      case nil: condition.wait()
      }
    }
  }

  private func request(_ key: Key, _ file: HubFile, isUrgent: Bool) {
    if blocks[key] != nil {
      if isUrgent, let position = queue.firstIndex(of: key), position > 0 {
        queue.remove(at: position)
        queue.insert(key, at: 0)
      }
      return
    }
    makeRoom()
    let block = Block(file)
    block.used = clock
    blocks[key] = block
    if isUrgent { queue.insert(key, at: 0) } else { queue.append(key) }
    if queue.count > idleWorkers, workers < connections {
      workers += 1
      let thread = Thread { [self] in work() }
      thread.start()
    }
    condition.broadcast()
  }

  private func makeRoom() {
    guard blocks.count >= maximumBlocks else { return }
    let finished = blocks.filter { $0.value.result != nil }
    for key in finished.sorted(by: { $0.value.used < $1.value.used }).prefix(connections).map(\.key) {
      guard case .success(let bytes)? = blocks.removeValue(forKey: key)?.result else { continue }
      if bytes.count == blockBytes, spare.count < connections { spare.append(bytes) }
    }
  }

  /// An array for the bytes of a block.
  private func memory(for count: Int) -> [UInt8] {
    condition.lock()
    defer { condition.unlock() }
    return (count == blockBytes ? spare.popLast() : nil) ?? [UInt8](repeating: 0, count: count)
  }

  /// Blocks of the store bring arrays of their own, so that spare ones would exceed the counted memory.
  private func dropSpare() {
    condition.lock()
    defer { condition.unlock() }
    spare.removeAll()
  }

  /// Fetches blocks until the reader is closed.
  private func work() {
    condition.lock()
    defer { condition.unlock() }
    while !isClosed {
      guard !queue.isEmpty else {
        idleWorkers += 1
        condition.wait()
        idleWorkers -= 1
        continue
      }
      let key = queue.removeFirst()
      guard let block = blocks[key] else { continue }
      condition.unlock()
      let result = fetch(key.index, of: block.file)
      condition.lock()
      block.result = result
      condition.broadcast()
    }
  }

  private func fetch(_ index: Int, of file: HubFile) -> Result<[UInt8], HubError> {
    let start = index * blockBytes
    let count = min(blockBytes, file.entry.size - start)
    let stored = store?.bytes(file.entry, index, count: count)
    if stored != nil { dropSpare() }
    var bytes = stored ?? memory(for: count)
    if stored == nil {
      do throws(HubError) { try file.fill(&bytes, at: start) } catch { return .failure(error) }
    }
    // The last block of a file that was damaged on its way fails, so that nothing made of the file is complete.
    guard hasher(file)?.add(bytes, at: index) != false else { return .failure(.damaged(file.name)) }
    if stored == nil { store?.keep(bytes, file.entry, index) }
    return .success(bytes)
  }

  private func hasher(_ file: HubFile) -> FileHasher? {
    guard let expected = file.entry.sha256 else { return nil }
    let id = ObjectIdentifier(file)
    condition.lock()
    defer { condition.unlock() }
    if let hasher = hashers[id] { return hasher }
    let hasher = FileHasher(
      blocks: (file.entry.size + blockBytes - 1) / blockBytes, expected: expected, maximumWaiting: connections)
    hashers[id] = hasher
    return hasher
  }
}
