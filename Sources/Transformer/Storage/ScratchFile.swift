import CZstd
import Files
import Synchronization
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A temporary file of activations that do not fit in memory, in chunks that are compressed with zstd.
///
/// The file is unlinked after it is opened, so that it never remains. The space of released chunks is reused.
final class ScratchFile: Sendable {
  private let descriptor: Int32
  private let path: String
  private let state = Mutex(State())

  private struct State {
    var end = 0
    /// Freed byte ranges, in ascending order.
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

  /// The number of bytes written to the file.
  var written: Int { state.withLock { $0.written } }

  /// Compressed floats in the file. Their space is released with the object.
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

    func read(into floats: FloatView) throws { try file.read(self, into: floats) }
  }

  /// Floats in a part, which is compressed by one thread.
  private static let partLength = 1 << 20

  /// Bytes that a thread needs to write or read a part.
  static let workBytes = 2 * 4 * partLength

  func write(_ floats: FloatView) throws -> Chunk {
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
      try write(part, at: offset)
      offset += part.count
    }
    return Chunk(file: self, range: range, parts: sizes)
  }

  private func read(_ chunk: Chunk, into floats: FloatView) throws {
    var offsets = [chunk.range.lowerBound]
    for size in chunk.parts { offsets.append(offsets[offsets.count - 1] + size) }
    let starts = offsets
    try parallelRanges(floats.count, grain: Self.partLength) { index, range in
      let bytes = try readBytes(starts[index]..<starts[index + 1])
      try decompress(bytes, into: floats.slice(range.lowerBound, range.count), at: starts[index])
    }
  }

  /// Groups bytes of equal significance, without which floats are hardly compressible.
  private static func compress(_ floats: FloatView) -> [UInt8] {
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
    // A copy of the exact size: all parts of a slab are in memory until the last is compressed.
    return worst.withUnsafeBytes { Array($0) }
  }

  private func decompress(_ bytes: [UInt8], into floats: FloatView, at offset: Int) throws(FileError) {
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

  private func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress! + done, bytes.count - done, off_t(offset + done))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw FileError(.write, path: path, offset: offset + done, code: errno) }
      done += count
    }
  }

  private func readBytes(_ range: Range<Int>) throws(FileError) -> [UInt8] {
    var code: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
      while filled < range.count {
        let offset = off_t(range.lowerBound + filled)
        let count = pread(descriptor, buffer.baseAddress! + filled, range.count - filled, offset)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          code = count < 0 ? errno : EIO
          return
        }
        filled += count
      }
    }
    guard bytes.count == range.count else {
      throw FileError(.read, path: path, offset: range.lowerBound + bytes.count, code: code)
    }
    return bytes
  }
}
