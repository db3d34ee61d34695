import CBlocks
import Tensors

// IQ1_S: 256 weights in 50 bytes, 1.5625 bits per weight. Eight sub-blocks of 32 weights: four codewords of eight.
//
//     0  d       half
//     2  qs      low bytes of the 32 codewords' indices
//    34  qh      a 16-bit word for each sub-block: bits 8 to 10 of its four indices, the first lowest; the scale in bits
//                12 to 14; bit 15 set turns the shift negative
//
// x = (d * (2 * scale + 1)) * (codeword ± 0.125); codewords consist of -1, 0 and 1

struct BlockIQ1_S: Block {
  var d: Float16
  var qs: InlineArray<32, UInt8>
  var qh: InlineArray<8, UInt16>

  static var type: GGMLType { .iq1_s }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq1
    for k in 0..<32 {
      let word = qh[k / 4]
      let step = cv_splat(Float(d) * Float(2 * (word >> 12 & 7) + 1))
      let shift = cv_splat(word >> 15 == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1)
      let high = Int(word >> UInt16(k % 4 * 3) & 7)
      cv_store(output + 8 * k, step * (codebook.word(Int(qs[k]) | high << 8) + shift))
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq1_s))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    qh = InlineArray(repeating: 0)
    for k in 0..<32 {
      qs[k] = UInt8(truncatingIfNeeded: fit.codes[k])
      qh[k / 4] |= (fit.codes[k] >> 8 & 7) << UInt16(k % 4 * 3)
    }
    for j in 0..<8 { qh[j] |= UInt16(fit.scales[j]) << 12 | (fit.codes[4 * j] >> 11) << 15 }
  }
}
