import CBlocks
import Tensors

// IQ2_XXS: 256 weights in 66 bytes, 2.0625 bits per weight. Eight sub-blocks of 32 weights: four codewords of eight.
//
//     0  d       half
//     2  qs      for each sub-block two 32-bit words: four codewords, a byte each; then four times seven sign bits, the
//                first lowest, and the scale in the top four bits. The eighth sign makes the number of signs even
//
// x = (d * (0.5 + scale) * 0.25) * codeword, signed; codewords consist of 8, 25 and 43

struct BlockIQ2_XXS: Block {
  var d: Float16
  var qs: InlineArray<32, UInt16>

  static var type: GGMLType { .iq2_xxs }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let codebook = Codebook.iq2_xxs
    for j in 0..<8 {
      let words = UInt32(qs[4 * j]) | UInt32(qs[4 * j + 1]) << 16
      let signsAndScale = UInt32(qs[4 * j + 2]) | UInt32(qs[4 * j + 3]) << 16
      let step = cv_splat(Float(d) * (0.5 + Float(signsAndScale >> 28)) * 0.25)
      for k in 0..<4 {
        let word = codebook.word(Int(words >> UInt32(8 * k) & 255))
        cv_store(output + 32 * j + 8 * k, cv_flip(step * word, evenSigns(UInt8(signsAndScale >> UInt32(7 * k) & 127))))
      }
    }
  }

  init(_ x: Floats, weights: Floats) {
    self.init(fitCodebookSuperBlock(x, weights, .iq2_xxs))
  }

  init(_ fit: CodebookSuperBlock) {
    d = fit.d
    qs = InlineArray(repeating: 0)
    for j in 0..<8 {
      var words: UInt32 = 0
      var signsAndScale = UInt32(fit.scales[j]) << 28
      for k in 0..<4 {
        words |= UInt32(fit.codes[4 * j + k]) << UInt32(8 * k)
        signsAndScale |= UInt32(fit.signs[4 * j + k] & 127) << UInt32(7 * k)
      }
      qs[4 * j] = UInt16(truncatingIfNeeded: words)
      qs[4 * j + 1] = UInt16(words >> 16)
      qs[4 * j + 2] = UInt16(truncatingIfNeeded: signsAndScale)
      qs[4 * j + 3] = UInt16(signsAndScale >> 16)
    }
  }
}
