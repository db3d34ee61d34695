import Tensors

// Q5_0: 32 weights in 22 bytes, 5.5 bits per weight.
//
//   0  d   half
//   2  qh  fifth bits: bit j % 8 of byte j / 8 belongs to weight j
//   6  qs  byte l holds the low bits of weight l in its low and of weight l + 16 in its high nibble
//
// x = d * (q - 16)

enum BlockQ5_0: BlockFormat {
  static var type: GGMLType { .q5_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    for l in 0..<16 {
      let high0 = block[2 + l / 8] >> UInt8(l % 8) & 1
      let high1 = block[4 + l / 8] >> UInt8(l % 8) & 1
      output[l] = d * Float(Int32(block[6 + l] & 15 | high0 << 4) - 16)
      output[l + 16] = d * Float(Int32(block[6 + l] >> 4 | high1 << 4) - 16)
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    for index in 0..<count {
      let block = output + 22 * index
      let (d, q) = roundToExtreme(x + 32 * index, levels: 16)
      block.store(d, at: 0)
      (block + 2).update(repeating: 0, count: 20)
      for l in 0..<32 {
        let bits = UInt8(q[l] + 16)
        block[6 + l % 16] |= (bits & 15) << UInt8(l / 16 * 4)
        block[2 + l / 8] |= (bits >> 4) << UInt8(l % 8)
      }
    }
  }
}
