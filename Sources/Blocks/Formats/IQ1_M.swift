import CBlocks
import Tensors

// IQ1_M: 256 weights in 56 bytes, 1.75 bits per weight. Sixteen sub-blocks of 16 weights: two codewords of eight.
//
//     0  qs      low bytes of the 32 codewords' indices
//    32  qh      four bits for each codeword, the first lowest: bits 8 to 10 of its index; bit 3 turns its shift negative
//    48  scales  four 16-bit words: the three-bit scales of four sub-blocks each; their top four bits are d, the lowest
//                four bits of the half in the first word
//
// x = (d * (2 * scale + 1)) * (codeword ± 0.125); codewords consist of -1, 0 and 1

struct BlockIQ1_M: Block {
  var qs: InlineArray<32, UInt8>
  var qh: InlineArray<16, UInt8>
  var scales: InlineArray<4, UInt16>

  static var type: GGMLType { .iq1_m }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq1
    let low = scales[0] >> 12 | (scales[1] >> 8 & 0xF0)
    let d = Float(Float16(bitPattern: low | (scales[2] >> 4 & 0xF00) | (scales[3] & 0xF000)))
    for k in 0..<32 {
      let step = cv_splat(d * Float(2 * (scales[k / 8] >> UInt16(k / 2 % 4 * 3) & 7) + 1))
      let high = Int(qh[k / 2] >> UInt8(k % 2 * 4))
      let shift = cv_splat(high & 8 == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1)
      cv_store(output + 8 * k, step * (codebook.word(Int(qs[k]) | (high & 7) << 8) + shift))
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq1_m))
  }

  init(_ fit: CodebookSuperBlock) {
    qs = InlineArray(repeating: 0)
    qh = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for k in 0..<32 {
      qs[k] = UInt8(truncatingIfNeeded: fit.codes[k])
      qh[k / 2] |= UInt8(fit.codes[k] >> 8) << UInt8(k % 2 * 4)
    }
    for j in 0..<16 { scales[j / 4] |= UInt16(fit.scales[j]) << UInt16(j % 4 * 3) }
    for i in 0..<4 { scales[i] |= (fit.d.bitPattern >> UInt16(4 * i) & 15) << 12 }
  }
}
