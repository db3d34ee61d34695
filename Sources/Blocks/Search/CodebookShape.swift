import CVectors

// A super-block of 256 weights in sub-blocks that share a scale: x ≈ (d * step * (2 k + 1)) * g, where g is a codeword of
// eight (or two of four) values with signs. All i-quants but IQ4 are of this form.

struct CodebookShape: Sendable {
  enum Signs {
    /// A bit for every weight.
    case free
    /// The number of negative signs of an octet is even: where it is odd by nature, one sign is turned.
    case even
    /// No signs: values are shifted, all of a sub-block in the same direction.
    case sharedShift
    /// No signs: the values of each octet are shifted in one direction.
    case ownShift
  }

  let codebook: Codebook
  let neighbours: Neighbours
  /// Weights that share a scale.
  let subBlock: Int
  let step: Float
  /// k goes from 0 to scaleLevels - 1.
  let scaleLevels: Int
  let signs: Signs
  /// Codewords that are scored for an octet (half of one where they have four values), while scales are sought and once
  /// they are chosen: all of them, those near what weights round to at two scales, or a few near the likelier.
  let candidates: (seeking: Int, settling: Int)

  var isShifted: Bool { signs == .sharedShift || signs == .ownShift }
  var octets: Int { subBlock / 8 }
  var subBlocks: Int { 256 / subBlock }
  /// What the root mean square of a sub-block usually is in units of its scale.
  var reach: Float {
    switch signs {
    case .sharedShift, .ownShift: 0.75
    case .free, .even: codebook.dims == 8 ? 19 : codebook.count == 256 ? 22 : 6
    }
  }

  static let iq1_s = CodebookShape(
    codebook: .iq1, neighbours: .iq1, subBlock: 32, step: 1, scaleLevels: 8, signs: .sharedShift,
    candidates: (seeking: 16, settling: 32))
  static let iq1_m = CodebookShape(
    codebook: .iq1, neighbours: .iq1, subBlock: 16, step: 1, scaleLevels: 8, signs: .ownShift,
    candidates: (seeking: 16, settling: 32))
  static let iq2_xxs = CodebookShape(
    codebook: .iq2_xxs, neighbours: .iq2_xxs, subBlock: 32, step: 0.125, scaleLevels: 16, signs: .even,
    candidates: (seeking: 64, settling: 256))
  static let iq2_xs = CodebookShape(
    codebook: .iq2_xs, neighbours: .iq2_xs, subBlock: 16, step: 0.125, scaleLevels: 16, signs: .even,
    candidates: (seeking: 64, settling: 512))
  static let iq2_s = CodebookShape(
    codebook: .iq2_s, neighbours: .iq2_s, subBlock: 16, step: 0.125, scaleLevels: 16, signs: .free,
    candidates: (seeking: 64, settling: 64))
  static let iq3_xxs = CodebookShape(
    codebook: .iq3_xxs, neighbours: .iq3_xxs, subBlock: 32, step: 0.25, scaleLevels: 16, signs: .even,
    candidates: (seeking: 64, settling: 64))
  static let iq3_s = CodebookShape(
    codebook: .iq3_s, neighbours: .iq3_s, subBlock: 32, step: 1, scaleLevels: 16, signs: .free,
    candidates: (seeking: 32, settling: 64))
}

struct CodebookSuperBlock {
  var d: Float16 = 0
  var scales = InlineArray<16, UInt8>(repeating: 0)
  /// One for each codeword, in order. In IQ1 bit 11 stands for the negative shift.
  var codes = InlineArray<64, UInt16>(repeating: 0)
  /// One byte for each octet.
  var signs = InlineArray<32, UInt8>(repeating: 0)
}
