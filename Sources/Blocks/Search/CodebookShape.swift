import CBlocks

// A super-block of 256 weights in sub-blocks that share a scale: x ≈ (d * step * (2 k + 1)) * g, where g is a codeword of
// eight (or two of four) values with signs. All i-quants but IQ4 are of this form.

struct CodebookShape: Sendable {
  enum Signs {
    /// One sign bit per weight.
    case free
    /// Seven sign bits per octet: the number of negative signs is even. Where it is odd in the weights, one sign is flipped.
    case even
    /// No sign bits: the values of a sub-block are shifted, all in one direction.
    case sharedShift
    /// No sign bits: the values of each octet are shifted in one direction.
    case ownShift
  }

  let codebook: Codebook
  let neighbours: Neighbours
  /// Weights that share a scale.
  let subBlock: Int
  let step: Float
  /// k ranges from 0 to scaleLevels - 1.
  let scaleLevels: Int
  let signs: Signs
  /// Number of codewords scored per octet (per half octet where they have four values), in the coarse search and in the
  /// refinement: the whole codebook, those near the keys at two scales, or a few near the likelier key.
  let candidates: (coarse: Int, refined: Int)

  var isShifted: Bool { signs == .sharedShift || signs == .ownShift }
  var octets: Int { subBlock / 8 }
  var subBlocks: Int { 256 / subBlock }
  /// Typical root mean square of a sub-block in units of its scale; the estimate searches around it.
  var typicalRatio: Float {
    switch signs {
    case .sharedShift, .ownShift: 0.75
    case .free, .even: codebook.dims == 8 ? 19 : codebook.count == 256 ? 22 : 6
    }
  }

  static let iq1_s = CodebookShape(
    codebook: .iq1, neighbours: .iq1, subBlock: 32, step: 1, scaleLevels: 8, signs: .sharedShift,
    candidates: (coarse: 16, refined: 32))
  static let iq1_m = CodebookShape(
    codebook: .iq1, neighbours: .iq1, subBlock: 16, step: 1, scaleLevels: 8, signs: .ownShift,
    candidates: (coarse: 16, refined: 32))
  static let iq2_xxs = CodebookShape(
    codebook: .iq2_xxs, neighbours: .iq2_xxs, subBlock: 32, step: 0.125, scaleLevels: 16, signs: .even,
    candidates: (coarse: 64, refined: 256))
  static let iq2_xs = CodebookShape(
    codebook: .iq2_xs, neighbours: .iq2_xs, subBlock: 16, step: 0.125, scaleLevels: 16, signs: .even,
    candidates: (coarse: 64, refined: 512))
  static let iq2_s = CodebookShape(
    codebook: .iq2_s, neighbours: .iq2_s, subBlock: 16, step: 0.125, scaleLevels: 16, signs: .free,
    candidates: (coarse: 64, refined: 64))
  static let iq3_xxs = CodebookShape(
    codebook: .iq3_xxs, neighbours: .iq3_xxs, subBlock: 32, step: 0.25, scaleLevels: 16, signs: .even,
    candidates: (coarse: 64, refined: 64))
  static let iq3_s = CodebookShape(
    codebook: .iq3_s, neighbours: .iq3_s, subBlock: 32, step: 1, scaleLevels: 16, signs: .free,
    candidates: (coarse: 32, refined: 64))
}

struct CodebookSuperBlock {
  var d: Float16 = 0
  var scales = InlineArray<16, UInt8>(repeating: 0)
  /// One per codeword, in order. In IQ1, bit 11 marks the negative shift.
  var codes = InlineArray<64, UInt16>(repeating: 0)
  /// One byte per octet.
  var signs = InlineArray<32, UInt8>(repeating: 0)
}
