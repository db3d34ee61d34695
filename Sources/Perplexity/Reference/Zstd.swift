import CZstd

/// One zstd frame with a checksum of its content.
enum Zstd {
  static func compress(_ bytes: [UInt8], level: Int32 = 9) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, filled in
      filled = ZSTD_compress2(context, buffer.baseAddress, buffer.count, bytes, bytes.count)
      precondition(ZSTD_isError(filled) == 0, "the output buffer holds the worst case")
    }
  }

  /// The content of a frame; nil where it is damaged, or claims more than `bound` bytes.
  static func decompress(_ bytes: [UInt8], bound: Int) -> [UInt8]? {
    // The two highest values say that the size is unknown or the frame damaged.
    let size = ZSTD_getFrameContentSize(bytes, bytes.count)
    guard size <= UInt64(bound) else { return nil }
    var result = 0
    let content = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, filled in
      result = ZSTD_decompress(buffer.baseAddress, buffer.count, bytes, bytes.count)
      filled = ZSTD_isError(result) == 0 ? result : 0
    }
    return ZSTD_isError(result) == 0 && content.count == Int(size) ? content : nil
  }
}
