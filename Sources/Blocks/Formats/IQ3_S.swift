import CBlocks
import Tensors

// IQ3_S: 256 weights in 110 bytes, 3.4375 bits per weight. Eight sub-blocks of 32 weights: eight codewords of four.
//
//     0  d       half
//     2  qs      low bytes of the 64 codewords' indices
//    66  qh      ninth bits of the indices: codeword 8 j + k at bit k of byte j
//    74  signs   eight bits for each pair of codewords
//   106  scales  8 of four bits: sub-block 2 j in the low half of byte j
//
// x = (d * (1 + 2 * scale)) * codeword, signed; codewords consist of 1, 3, 5, 7, 9, 11, 13 and 15

struct BlockIQ3_S: Block {
  var d: Float16
  var qs: InlineArray<64, UInt8>
  var qh: InlineArray<8, UInt8>
  var signs: InlineArray<32, UInt8>
  var scales: InlineArray<4, UInt8>

  static var type: GGMLType { .iq3_s }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq3_s
    for k in 0..<32 {
      let scale = scales[k / 8] >> UInt8(k / 4 % 2 * 4) & 15
      let step = cv_splat(Float(d) * Float(1 + 2 * scale))
      let high = Int(qh[k / 4]) >> (k % 4 * 2)
      let values = codebook.words(Int(qs[2 * k]) | (high & 1) << 8, Int(qs[2 * k + 1]) | (high >> 1 & 1) << 8)
      cv_store(output + 8 * k, cv_flip(step * values, signs[k]))
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq3_s))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    qh = InlineArray(repeating: 0)
    signs = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for k in 0..<64 {
      qs[k] = UInt8(truncatingIfNeeded: fit.codes[k])
      qh[k / 8] |= UInt8(fit.codes[k] >> 8) << UInt8(k % 8)
    }
    for k in 0..<32 { signs[k] = fit.signs[k] }
    for j in 0..<8 { scales[j / 2] |= fit.scales[j] << UInt8(j % 2 * 4) }
  }
}
