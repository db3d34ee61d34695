import CBlocks
import Tensors

// IQ3_XXS: 256 weights in 98 bytes, 3.0625 bits per weight. Eight sub-blocks of 32 weights: eight codewords of four.
//
//     0  d       half
//     2  qs      64 codewords, a byte each
//    66  scales  for each sub-block a 32-bit word: four times seven sign bits, each for eight weights, the first lowest,
//                and the scale in the top four bits. The eighth sign makes the number of signs even
//
// x = (d * (0.5 + scale) * 0.5) * codeword, signed; codewords consist of 4, 12, 20, 28, 36, 44, 52 and 62

struct BlockIQ3_XXS: Block {
  var d: Float16
  var qs: InlineArray<64, UInt8>
  var scales: InlineArray<16, UInt16>

  static var type: GGMLType { .iq3_xxs }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq3_xxs
    for j in 0..<8 {
      let word = UInt32(scales[2 * j]) | UInt32(scales[2 * j + 1]) << 16
      let step = cv_splat(Float(d) * (0.5 + Float(word >> 28)) * 0.5)
      for k in 4 * j..<4 * j + 4 {
        let values = codebook.words(Int(qs[2 * k]), Int(qs[2 * k + 1]))
        cv_store(output + 8 * k, cv_flip(step * values, evenSigns(UInt8(word >> UInt32(k % 4 * 7) & 127))))
      }
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq3_xxs))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for k in 0..<64 { qs[k] = UInt8(fit.codes[k]) }
    for j in 0..<8 {
      var word = UInt32(fit.scales[j]) << 28
      for k in 0..<4 { word |= UInt32(fit.signs[4 * j + k] & 127) << UInt32(7 * k) }
      scales[2 * j] = UInt16(truncatingIfNeeded: word)
      scales[2 * j + 1] = UInt16(word >> 16)
    }
  }
}
