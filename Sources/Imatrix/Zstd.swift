import CZstd

/// The contents of a zstd file of one or more frames, or nil where it is damaged or ends early.
func decompressZstd(_ bytes: [UInt8]) -> [UInt8]? {
  guard let stream = ZSTD_createDStream() else { return nil }
  defer { ZSTD_freeDStream(stream) }
  var result: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
  var pending = 1
  let isWhole = bytes.withUnsafeBytes { source in
    var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
    while input.pos < input.size {
      let filled: Int? = chunk.withUnsafeMutableBytes { target in
        var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
        pending = ZSTD_decompressStream(stream, &output, &input)
        return ZSTD_isError(pending) == 0 ? output.pos : nil
      }
      guard let filled else { return false }
      result += chunk[..<filled]
      // A full chunk may leave decoded bytes inside the decoder after the input's last byte was taken.
      var more = filled == chunk.count
      while more {
        let rest: Int? = chunk.withUnsafeMutableBytes { target in
          var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          pending = ZSTD_decompressStream(stream, &output, &input)
          return ZSTD_isError(pending) == 0 ? output.pos : nil
        }
        guard let rest else { return false }
        result += chunk[..<rest]
        more = rest == chunk.count
      }
    }
    return pending == 0
  }
  return isWhole ? result : nil
}
