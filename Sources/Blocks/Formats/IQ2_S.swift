import CBlocks
import Tensors

// IQ2_S: 256 weights in 82 bytes, 2.5625 bits per weight. Sixteen sub-blocks of 16 weights: two codewords of eight.
//
//     0  d       half
//     2  qs      low bytes of the 32 codewords' indices
//    34  signs   eight bits for each codeword
//    66  qh      bits 8 and 9 of the indices: codeword 4 j + k at bit 2 k of byte j
//    74  scales  16 of four bits: sub-block 2 j in the low half of byte j
//
// x = (d * (0.5 + scale) * 0.25) * codeword, signed; codewords consist of 8, 25 and 43

struct BlockIQ2_S: Block {
  var d: Float16
  var qs: InlineArray<32, UInt8>
  var signs: InlineArray<32, UInt8>
  var qh: InlineArray<8, UInt8>
  var scales: InlineArray<8, UInt8>

  static var type: GGMLType { .iq2_s }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq2_s
    for k in 0..<32 {
      let scale = scales[k / 4] >> UInt8(k / 2 % 2 * 4) & 15
      let step = cv_splat(Float(d) * (0.5 + Float(scale)) * 0.25)
      let high = Int(qh[k / 4] >> UInt8(k % 4 * 2) & 3)
      cv_store(output + 8 * k, cv_flip(step * codebook.word(Int(qs[k]) | high << 8), signs[k]))
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq2_s))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    signs = InlineArray(repeating: 0)
    qh = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for k in 0..<32 {
      qs[k] = UInt8(truncatingIfNeeded: fit.codes[k])
      qh[k / 4] |= UInt8(fit.codes[k] >> 8) << UInt8(k % 4 * 2)
      signs[k] = fit.signs[k]
    }
    for j in 0..<16 { scales[j / 2] |= fit.scales[j] << UInt8(j % 2 * 4) }
  }
}
