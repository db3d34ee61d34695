import CBlocks
import Tensors

// IQ2_XS: 256 weights in 74 bytes, 2.3125 bits per weight. Sixteen sub-blocks of 16 weights: two codewords of eight.
//
//     0  d       half
//     2  qs      32 codewords, 16 bits each: nine bits of index, then seven signs; the eighth makes their number even
//    66  scales  16 of four bits: sub-block 2 j in the low half of byte j
//
// x = (d * (0.5 + scale) * 0.25) * codeword, signed; codewords consist of 8, 25 and 43

struct BlockIQ2_XS: Block {
  var d: Float16
  var qs: InlineArray<32, UInt16>
  var scales: InlineArray<8, UInt8>

  static var type: GGMLType { .iq2_xs }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq2_xs
    for k in 0..<32 {
      let scale = scales[k / 4] >> UInt8(k / 2 % 2 * 4) & 15
      let step = cv_splat(Float(d) * (0.5 + Float(scale)) * 0.25)
      let word = codebook.word(Int(qs[k] & 511))
      cv_store(output + 8 * k, cv_flip(step * word, evenSigns(UInt8(qs[k] >> 9))))
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq2_xs))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for k in 0..<32 { qs[k] = fit.codes[k] | UInt16(fit.signs[k] & 127) << 9 }
    for j in 0..<16 { scales[j / 2] |= fit.scales[j] << UInt8(j % 2 * 4) }
  }
}
