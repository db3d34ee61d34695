import Tensors

/// Rows of MXFP4, taken apart into the two tensors of MLX: codes in order, and scales.
///
/// A GGUF's block has the exponent, then 16 bytes: the low halves are the codes of the first 16 weights. MLX has the code of
/// weight 2i in the low half of byte i.
struct MicroscaledRows {
  private(set) var codes: [UInt8]
  private(set) var scales: [UInt8]

  static let codeBytes = 16
  private static let blockBytes = 17

  init(codes: [UInt8], scales: [UInt8]) { (self.codes, self.scales) = (codes, scales) }

  /// - Parameter sources: the rows of `blocks` to take, in their new order.
  init(_ blocks: UnsafeRawBufferPointer, _ sources: [Int], groups: Int) {
    codes = []
    scales = []
    codes.reserveCapacity(sources.count * groups * Self.codeBytes)
    scales.reserveCapacity(sources.count * groups)
    for source in sources {
      for group in 0..<groups {
        let start = (source * groups + group) * Self.blockBytes
        scales.append(blocks[start])
        func code(_ index: Int) -> UInt8 {
          let byte = blocks[start + 1 + index % 16]
          return index < 16 ? byte & 15 : byte >> 4
        }
        for byte in 0..<Self.codeBytes { codes.append(code(2 * byte) | code(2 * byte + 1) << 4) }
      }
    }
  }

  /// Puts blocks together, row `sources[i]` from the i-th row of both tensors.
  func join(into output: UnsafeMutableRawBufferPointer, _ sources: [Int], groups: Int) {
    var index = 0
    for source in sources {
      for group in 0..<groups {
        let start = (source * groups + group) * Self.blockBytes
        output[start] = scales[index]
        let first = index * Self.codeBytes
        func code(_ weight: Int) -> UInt8 {
          let byte = codes[first + weight / 2]
          return weight % 2 == 0 ? byte & 15 : byte >> 4
        }
        for byte in 0..<16 { output[start + 1 + byte] = code(byte) | code(byte + 16) << 4 }
        index += 1
      }
    }
  }
}
