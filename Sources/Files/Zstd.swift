import CZstd

/// Zstandard compression. Decompression accepts untrusted data.
package enum Zstd {
  /// Compresses to one frame with a checksum of its content.
  package static func compress(_ bytes: [UInt8], level: Int32 = 9) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, filled in
      filled = ZSTD_compress2(context, buffer.baseAddress, buffer.count, bytes, bytes.count)
      precondition(ZSTD_isError(filled) == 0, "the output buffer holds the worst case")
    }
  }

  /// The content of one frame; nil where it is damaged or has more than `bound` bytes.
  package static func decompress(_ bytes: [UInt8], bound: Int) -> [UInt8]? {
    // The two highest values mean an unknown size and a damaged frame.
    let size = ZSTD_getFrameContentSize(bytes, bytes.count)
    guard size <= UInt64(bound) else { return nil }
    var result = 0
    let content = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, filled in
      result = ZSTD_decompress(buffer.baseAddress, buffer.count, bytes, bytes.count)
      filled = ZSTD_isError(result) == 0 ? result : 0
    }
    return ZSTD_isError(result) == 0 && content.count == Int(size) ? content : nil
  }

  /// The content of one or more frames, whose headers need not state a size; nil where they are damaged or end early.
  package static func decompress(frames bytes: [UInt8]) -> [UInt8]? {
    guard let stream = ZSTD_createDStream() else { return nil }
    defer { ZSTD_freeDStream(stream) }
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
    var pending = 1
    let isWhole = bytes.withUnsafeBytes { source in
      var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
      // After a full chunk the decoder may hold more bytes although the input is consumed.
      var isFull = false
      while input.pos < input.size || isFull {
        let filled: Int? = chunk.withUnsafeMutableBytes { target in
          var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          pending = ZSTD_decompressStream(stream, &output, &input)
          return ZSTD_isError(pending) == 0 ? output.pos : nil
        }
        guard let filled else { return false }
        result += chunk[..<filled]
        isFull = filled == chunk.count
      }
      return pending == 0
    }
    return isWhole ? result : nil
  }
}
