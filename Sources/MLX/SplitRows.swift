import Tensors

/// Rows of blocks, taken apart into the three tensors of MLX.
struct SplitRows {
  private(set) var codes: [UInt8]
  private(set) var scales: [UInt8]
  private(set) var biases: [UInt8]

  init(codes: [UInt8], scales: [UInt8], biases: [UInt8]) {
    (self.codes, self.scales, self.biases) = (codes, scales, biases)
  }

  /// - Parameter sources: the rows of `blocks` to take, in their new order.
  init(_ blocks: UnsafeRawBufferPointer, _ sources: [Int], groups: Int, _ format: AffineFormat) {
    let (block, width) = (format.type.blockBytes, format.type.blockBytes - 4)
    let count = sources.count * groups
    codes = [UInt8](repeating: 0, count: count * width)
    scales = [UInt8](repeating: 0, count: count * 2)
    biases = [UInt8](repeating: 0, count: count * 2)
    codes.withUnsafeMutableBytes { codes in
      scales.withUnsafeMutableBytes { scales in
        biases.withUnsafeMutableBytes { biases in
          var target = 0
          for source in sources {
            for group in 0..<groups {
              let from = blocks.baseAddress! + (source * groups + group) * block
              (scales.baseAddress! + 2 * target).copyMemory(from: from, byteCount: 2)
              (biases.baseAddress! + 2 * target).copyMemory(from: from + 2, byteCount: 2)
              (codes.baseAddress! + width * target).copyMemory(from: from + 4, byteCount: width)
              target += 1
            }
          }
        }
      }
    }
  }

  /// Puts blocks together, row `sources[i]` from the i-th row of the three tensors.
  func join(into output: UnsafeMutableRawBufferPointer, _ sources: [Int], groups: Int, _ format: AffineFormat) {
    let (block, width) = (format.type.blockBytes, format.type.blockBytes - 4)
    codes.withUnsafeBytes { codes in
      scales.withUnsafeBytes { scales in
        biases.withUnsafeBytes { biases in
          var index = 0
          for source in sources {
            for group in 0..<groups {
              let to = output.baseAddress! + (source * groups + group) * block
              to.copyMemory(from: scales.baseAddress! + 2 * index, byteCount: 2)
              (to + 2).copyMemory(from: biases.baseAddress! + 2 * index, byteCount: 2)
              (to + 4).copyMemory(from: codes.baseAddress! + width * index, byteCount: width)
              index += 1
            }
          }
        }
      }
    }
  }
}
