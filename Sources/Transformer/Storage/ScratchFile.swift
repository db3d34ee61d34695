import CZstd
import Files
import Synchronization
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A temporary file that holds activations which do not fit in memory, zstd-compressed chunk by chunk.
///
/// The file has no name after it was opened, so that nothing stays behind whatever happens. Space of chunks that are
/// dropped is used again.
final class ScratchFile: Sendable {
  private let descriptor: Int32
  private let path: String
  private let state = Mutex(State())

  private struct State {
    var end = 0
    /// Freed ranges, by offset.
    var free: [Range<Int>] = []
    var written = 0
  }

  init(directory: String) throws(FileError) {
    path = directory + "/qtool-scratch"
    var name = Array((path + "-XXXXXX").utf8CString)
    let descriptor = mkstemp(&name)
    guard descriptor >= 0 else { throw FileError(.create, path: path, code: errno) }
    unlink(name)
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Bytes written so far.
  var written: Int { state.withLock { $0.written } }

  /// A run of floats in the file, given back when it is dropped.
  final class Chunk: Sendable {
    fileprivate let file: ScratchFile
    fileprivate let range: Range<Int>
    fileprivate let parts: [Int]

    fileprivate init(file: ScratchFile, range: Range<Int>, parts: [Int]) {
      self.file = file
      self.range = range
      self.parts = parts
    }

    deinit { file.release(range) }

    func read(into floats: Floats) throws { try file.read(self, into: floats) }
  }

  /// Floats in a separately compressed part: small enough that parts go through several threads.
  private static let partLength = 1 << 20

  /// What a thread needs while it writes or reads a part.
  static let workBytes = 2 * 4 * partLength

  func write(_ floats: Floats) throws -> Chunk {
    let partCount = max(1, (floats.count + Self.partLength - 1) / Self.partLength)
    let compressed = Mutex<[[UInt8]]>(Array(repeating: [], count: partCount))
    try parallelRanges(floats.count, grain: Self.partLength) { index, range in
      let part = Self.compress(floats.slice(range.lowerBound, range.count))
      compressed.withLock { $0[index] = part }
    }
    let parts = compressed.withLock { $0 }
    let sizes = parts.map(\.count)
    let range = reserve(sizes.reduce(0, +))
    var offset = range.lowerBound
    for part in parts {
      try put(part, at: offset)
      offset += part.count
    }
    return Chunk(file: self, range: range, parts: sizes)
  }

  private func read(_ chunk: Chunk, into floats: Floats) throws {
    var offsets = [chunk.range.lowerBound]
    for size in chunk.parts { offsets.append(offsets[offsets.count - 1] + size) }
    let starts = offsets
    try parallelRanges(floats.count, grain: Self.partLength) { index, range in
      let bytes = try get(starts[index]..<starts[index + 1])
      try decompress(bytes, into: floats.slice(range.lowerBound, range.count), at: starts[index])
    }
  }

  /// Bytes of equal significance lie together, which is what makes floats compressible at all.
  private static func compress(_ floats: Floats) -> [UInt8] {
    let count = floats.count
    let planes = [UInt8](unsafeUninitializedCapacity: count * 4) { buffer, filled in
      withPointers(floats) { floats in
        let bytes = UnsafeRawPointer(floats.base).assumingMemoryBound(to: UInt8.self)
        for plane in 0..<4 {
          let out = buffer.baseAddress! + plane * count
          for i in 0..<count { out[i] = bytes[i * 4 + plane] }
        }
      }
      filled = count * 4
    }
    let worst = [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(planes.count)) { buffer, filled in
      filled = ZSTD_compress(buffer.baseAddress, buffer.count, planes, planes.count, 1)
      precondition(ZSTD_isError(filled) == 0, "the output buffer holds the worst case")
    }
    // All parts of a slab wait for each other: without the room for the worst case.
    return worst.withUnsafeBytes { Array($0) }
  }

  private func decompress(_ bytes: [UInt8], into floats: Floats, at offset: Int) throws(FileError) {
    let count = floats.count
    var size = 0
    let planes = [UInt8](unsafeUninitializedCapacity: count * 4) { buffer, filled in
      size = ZSTD_decompress(buffer.baseAddress, buffer.count, bytes, bytes.count)
      filled = size == count * 4 ? size : 0
    }
    guard planes.count == count * 4 else { throw FileError(.read, path: path, offset: offset, code: EIO) }
    withPointers(floats) { floats in
      let out = UnsafeMutableRawPointer(floats.base).assumingMemoryBound(to: UInt8.self)
      planes.withUnsafeBufferPointer { planes in
        for plane in 0..<4 {
          for i in 0..<count { out[i * 4 + plane] = planes[plane * count + i] }
        }
      }
    }
  }

  private func reserve(_ count: Int) -> Range<Int> {
    state.withLock { state in
      state.written += count
      if let index = state.free.firstIndex(where: { $0.count >= count }) {
        let range = state.free[index]
        let taken = range.lowerBound..<range.lowerBound + count
        if range.count == count {
          state.free.remove(at: index)
        } else {
          state.free[index] = taken.upperBound..<range.upperBound
        }
        return taken
      }
      defer { state.end += count }
      return state.end..<state.end + count
    }
  }

  private func release(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    state.withLock { state in
      let index = state.free.firstIndex { $0.lowerBound > range.lowerBound } ?? state.free.count
      state.free.insert(range, at: index)
      if index + 1 < state.free.count, state.free[index].upperBound == state.free[index + 1].lowerBound {
        state.free[index] = state.free[index].lowerBound..<state.free[index + 1].upperBound
        state.free.remove(at: index + 1)
      }
      if index > 0, state.free[index - 1].upperBound == state.free[index].lowerBound {
        state.free[index - 1] = state.free[index - 1].lowerBound..<state.free[index].upperBound
        state.free.remove(at: index)
      }
    }
  }

  private func put(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let got = bytes.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress! + done, bytes.count - done, off_t(offset + done))
      }
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { throw FileError(.write, path: path, offset: offset + done, code: errno) }
      done += got
    }
  }

  private func get(_ range: Range<Int>) throws(FileError) -> [UInt8] {
    var code: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
      while filled < range.count {
        let place = off_t(range.lowerBound + filled)
        let got = pread(descriptor, buffer.baseAddress! + filled, range.count - filled, place)
        if got < 0 && errno == EINTR { continue }
        guard got > 0 else {
          code = got < 0 ? errno : EIO
          return
        }
        filled += got
      }
    }
    guard bytes.count == range.count else {
      throw FileError(.read, path: path, offset: range.lowerBound + bytes.count, code: code)
    }
    return bytes
  }
}
