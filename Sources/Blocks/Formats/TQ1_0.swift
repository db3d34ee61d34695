import Tensors

// TQ1_0: 256 ternary weights in 54 bytes, 1.6875 bits per weight.
//
//    0  qs  bytes 0-31 hold weights 0-159: byte l holds l, l + 32, ... l + 128; bytes 32-47 hold weights 160-239:
//           byte 32 + l holds 160 + l, 176 + l, ... 224 + l
//   48  qh  byte l holds weights 240 + l, 244 + l, 248 + l, 252 + l
//   52  d   half
//
// A byte is a fraction of 256 whose ternary digits are the weights, first weight first: 5 digits q0...q4 with
// n = q0 * 81 + ... + q4 are stored as ceil(n * 256 / 243). Digit k is the whole part of 3 * (byte * 3^k mod 256) / 256.
//
// x = d * (q - 1)

enum BlockTQ1_0: BlockFormat {
  static var type: GGMLType { .tq1_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 52)
    for l in 0..<32 { digits(block[l], d, output + l, count: 5, every: 32) }
    for l in 0..<16 { digits(block[32 + l], d, output + 160 + l, count: 5, every: 16) }
    for l in 0..<4 { digits(block[48 + l], d, output + 240 + l, count: 4, every: 4) }
  }

  @inline(__always) private static func digits(
    _ byte: UInt8, _ d: Float, _ output: UnsafeMutablePointer<Float>, count: Int, every step: Int
  ) {
    var fraction = byte
    for k in 0..<count {
      output[k * step] = d * Float(Int32((UInt16(fraction) * 3) >> 8) - 1)
      fraction = fraction &* 3
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    var q = InlineArray<256, UInt8>(repeating: 0)
    q.withBytes { q in
      for index in 0..<count {
        let block = output + 54 * index
        block.store(fitTernary(x + 256 * index, weights + 256 * index, into: q), at: 52)
        for l in 0..<32 { block[l] = fraction(q[l], q[l + 32], q[l + 64], q[l + 96], q[l + 128]) }
        for l in 160..<176 { block[l - 128] = fraction(q[l], q[l + 16], q[l + 32], q[l + 48], q[l + 64]) }
        for l in 240..<244 { block[l - 192] = fraction(q[l], q[l + 4], q[l + 8], q[l + 12], 0) }
      }
    }
  }

  @inline(__always) private static func fraction(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8) -> UInt8 {
    let n = (((UInt16(a) &* 3 &+ UInt16(b)) &* 3 &+ UInt16(c)) &* 3 &+ UInt16(d)) &* 3 &+ UInt16(e)
    return UInt8(truncatingIfNeeded: (n &* 256 &+ 242) / 243)
  }
}
