import Tensors

extension CodebookShape {
  /// The shape of a type that has one.
  static func of(_ type: GGMLType) -> CodebookShape? {
    switch type {
    case .iq1_s: .iq1_s
    case .iq1_m: .iq1_m
    case .iq2_xxs: .iq2_xxs
    case .iq2_xs: .iq2_xs
    case .iq2_s: .iq2_s
    case .iq3_xxs: .iq3_xxs
    case .iq3_s: .iq3_s
    default: nil
    }
  }
}

extension CodebookSuperBlock {
  /// Writes the block's bytes.
  func store(as type: GGMLType, into output: UnsafeMutableRawPointer) {
    switch type {
    case .iq1_s: output.storeBytes(of: BlockIQ1_S(self), as: BlockIQ1_S.self)
    case .iq1_m: output.storeBytes(of: BlockIQ1_M(self), as: BlockIQ1_M.self)
    case .iq2_xxs: output.storeBytes(of: BlockIQ2_XXS(self), as: BlockIQ2_XXS.self)
    case .iq2_xs: output.storeBytes(of: BlockIQ2_XS(self), as: BlockIQ2_XS.self)
    case .iq2_s: output.storeBytes(of: BlockIQ2_S(self), as: BlockIQ2_S.self)
    case .iq3_xxs: output.storeBytes(of: BlockIQ3_XXS(self), as: BlockIQ3_XXS.self)
    case .iq3_s: output.storeBytes(of: BlockIQ3_S(self), as: BlockIQ3_S.self)
    default: preconditionFailure("\(type) has no codebook")
    }
  }
}

/// The codewords that feedback chooses for one sub-block at one scale, for tests.
package struct CodebookTrial {
  package let values: [Float]
  /// Normalised errors.
  package let errors: [Float]
  package let cost: Float
  /// A super-block that begins with the sub-block.
  package let bytes: [UInt8]

  /// - Parameters:
  ///   - targets: the weights of a sub-block.
  ///   - factor: U, row-major and upper triangular.
  ///   - step: the scale; in IQ1_S the better of both shifts is taken.
  ///   - wide: whether vectors of sixteen are used where the machine has them.
  package init(_ targets: [Float], factor: [Float], as type: GGMLType, step: Float, wide: Bool = true) {
    let shape = CodebookShape.of(type)!
    let length = shape.subBlock
    precondition(targets.count == length && factor.count == length * length)
    let metric = CodebookMetric(shape, subBlocks: 1)
    // U = D^-1/2 times a unit triangular matrix.
    let pivots = (0..<length).map { 1 / factor[$0 * (length + 1)] / factor[$0 * (length + 1)] }
    let unit = factor.indices.map { factor[$0] / factor[$0 / length * (length + 1)] }
    unit.withUnsafeBufferPointer { unit in
      pivots.withUnsafeBufferPointer {
        metric.set(0, factor: unit.baseAddress!, rowStride: length, pivots: $0.baseAddress!)
      }
    }
    let squares = CodewordSquares(shape)
    defer { squares.deallocate() }
    var beam = CodebookBeam(width: 1)
    defer { beam.deallocate() }
    let feedback = CodebookFeedback(shape, metric[0], squares, wide: wide)
    targets.withUnsafeBufferPointer {
      feedback.extend(
        $0.baseAddress!, base: 0, parent: 0, step: step, CodebookScales(near: 0, count: 1, shape), into: &beam)
    }
    let path = beam[0].pointee
    values = (0..<length).map { path.v[$0] }
    errors = (0..<length).map { path.e[$0] / factor[$0 * (length + 1)] }
    cost = path.cost
    var block = CodebookSuperBlock()
    block.d = Float16(step / shape.step)
    for k in 0..<length / shape.codebook.dims { block.codes[k] = path.codes[k] }
    for o in 0..<length / 8 { block.signs[o] = path.signs[o] }
    bytes = [UInt8](unsafeUninitializedCapacity: type.blockBytes) { buffer, count in
      block.store(as: type, into: buffer.baseAddress!)
      count = type.blockBytes
    }
  }
}
