import CBlocks
import Tensors

extension ScalarFeedback {
  /// The scales that the plain encoder chooses for the panel's targets, with D as weights.
  func start(_ panel: FeedbackPanel, _ best: ScalarPanel) {
    let subBlocks = panel.columns / shape.length
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * FeedbackPanel.stride) { buffer in
      let (x, weights) = (buffer.baseAddress!, buffer.baseAddress! + FeedbackPanel.stride)
      for c in 0..<panel.columns { weights[Int(panel.column[c])] = panel.pivots[c] }
      for k in 0..<32 { best.scales[k] = cv_splat(0) }
      (best.steps[0], best.steps[1]) = (cv_splat(1), cv_splat(1))
      for row in 0..<8 {
        for c in 0..<panel.columns { x[Int(panel.column[c])] = panel.targets[c][row] }
        var choice = Choice()
        fit(x, weights, columns: panel.columns, &choice)
        load(choice, row, panel, subBlocks, into: best)
      }
    }
  }

  private func fit(_ x: Floats, _ w: Floats, columns: Int, _ choice: inout Choice) {
    let blocks = columns / 32
    switch shape.type {
    case .q2_K: choice.stored = SuperBlockScales(BlockQ2_K.fit(x, weights: w))
    case .q3_K: choice.stored = SuperBlockScales(BlockQ3_K.fit(x, weights: w))
    case .q4_K: choice.stored = SuperBlockScales(BlockQ4_K.fit(x, weights: w))
    case .q5_K: choice.stored = SuperBlockScales(BlockQ5_K.fit(x, weights: w))
    case .q6_K: choice.stored = SuperBlockScales(BlockQ6_K.fit(x, weights: w))
    case .iq4_xs: choice.stored = SuperBlockScales(BlockIQ4_XS.fit(x, weights: w))
    case .iq4_nl: BlockIQ4_NL.fit(x, weights: w, count: blocks) { index, d, _ in choice.steps[index] = Float(d) }
    case .q4_0: encodeScaled(Levels4.self, x, w, count: blocks) { index, d, _ in choice.steps[index] = Float(d) }
    case .q5_0: encodeScaled(Levels5.self, x, w, count: blocks) { index, d, _ in choice.steps[index] = Float(d) }
    case .q8_0:
      encodeScaled(Levels8.self, offset: 0, x, w, count: blocks) { index, d, _ in choice.steps[index] = Float(d) }
    case .q4_1:
      encodeAffine(BlockQ4_1.shape, x, w, count: blocks) { index, d, m, _ in
        (choice.steps[index], choice.offsets[index]) = (Float(d), -Float(m))
      }
    case .q5_1:
      encodeAffine(BlockQ5_1.shape, x, w, count: blocks) { index, d, m, _ in
        (choice.steps[index], choice.offsets[index]) = (Float(d), -Float(m))
      }
    default:
      guard let groups = shape.groups else { preconditionFailure("\(shape.type) has no scalar levels") }
      searchGroups(x, weights: w, count: columns / groups.group, as: groups) { index, step, offset, _ in
        (choice.steps[index], choice.offsets[index]) = (step, offset)
      }
    }
  }

  /// Scales of a choice, in the order of processing.
  func load(_ choice: Choice, _ row: Int, _ panel: FeedbackPanel, _ subBlocks: Int, into target: ScalarPanel) {
    if shape.scales != nil {
      target.steps[0][row] = Float(choice.stored.d)
      target.steps[1][row] = Float(choice.stored.dmin)
    }
    for s in 0..<subBlocks {
      let natural = Int(panel.column[s * shape.length]) / shape.length
      if shape.scales != nil {
        target.scales[s][row] = Float(choice.stored.scales[natural])
        target.mins[s][row] = Float(choice.stored.mins[natural])
      } else {
        target.scales[s][row] = choice.steps[natural]
        target.mins[s][row] = choice.offsets[natural]
      }
    }
  }

  /// Levels of a choice, in the order of processing.
  func loadLevels(_ choices: UnsafeMutablePointer<Choice>, _ panel: FeedbackPanel, into target: ScalarPanel) {
    for c in 0..<panel.columns {
      let natural = Int(panel.column[c])
      for row in 0..<8 {
        let code = choices[row].codes[natural]
        target.levels[c][row] = shape.levels.is_iq4 != 0 ? iq4Levels[Int(code)] : Float(code) + shape.levels.low
      }
    }
  }

  /// Codes and scales as they are packed.
  func store(_ panel: FeedbackPanel, _ best: ScalarPanel, into choices: UnsafeMutablePointer<Choice>) {
    for row in 0..<8 {
      if shape.scales != nil {
        choices[row].stored.d = half(best.steps[0][row])
        choices[row].stored.dmin = half(best.steps[1][row])
      }
      for s in 0..<panel.columns / shape.length {
        let natural = Int(panel.column[s * shape.length]) / shape.length
        if shape.scales != nil {
          choices[row].stored.scales[natural] = Int16(best.scales[s][row])
          choices[row].stored.mins[natural] = Int16(best.mins[s][row])
        } else {
          choices[row].steps[natural] = best.scales[s][row]
          choices[row].offsets[natural] = best.mins[s][row]
        }
      }
    }
    var bytes = InlineArray<8, UInt8>(repeating: 0)
    for c in 0..<panel.columns {
      let natural = Int(panel.column[c])
      let code =
        shape.levels.is_iq4 != 0 ? cv_iq4_index(best.levels[c]) : best.levels[c] - cv_splat(shape.levels.low)
      bytes.withBytes { cv_store_bytes($0, code) }
      for row in 0..<8 { choices[row].codes[natural] = bytes[row] }
    }
  }

  func pack(_ choice: borrowing Choice, columns: Int, into output: UnsafeMutablePointer<UInt8>) {
    let (size, blocks) = (shape.type.blockBytes, columns / shape.type.blockLength)
    var codes = choice.codes
    let (stored, steps, offsets) = (choice.stored, choice.steps, choice.offsets)
    codes.withBytes { q in
      let raw = UnsafeMutableRawPointer(output)
      switch shape.type {
      case .q2_K: raw.storeBytes(of: BlockQ2_K(stored, q), as: BlockQ2_K.self)
      case .q3_K: raw.storeBytes(of: BlockQ3_K(stored, q), as: BlockQ3_K.self)
      case .q4_K: raw.storeBytes(of: BlockQ4_K(stored, q), as: BlockQ4_K.self)
      case .q5_K: raw.storeBytes(of: BlockQ5_K(stored, q), as: BlockQ5_K.self)
      case .q6_K: raw.storeBytes(of: BlockQ6_K(stored, q), as: BlockQ6_K.self)
      case .iq4_xs: BlockIQ4_XS.pack(stored, q, into: output)
      default:
        if let groups = shape.groups {
          for k in 0..<blocks {
            packAffine(steps[k], -offsets[k], q + groups.group * k, as: groups, into: output + k * size)
          }
          return
        }
        for k in 0..<blocks {
          let (block, q, d) = (output + k * size, q + 32 * k, half(steps[k]))
          switch shape.type {
          case .iq4_nl: BlockIQ4_NL.pack(d, q, into: block)
          case .q4_0: BlockQ4_0.pack(d, q, into: block)
          case .q5_0: BlockQ5_0.pack(d, q, into: block)
          case .q4_1: BlockQ4_1.pack(d, half(-offsets[k]), q, into: block)
          case .q5_1: BlockQ5_1.pack(d, half(-offsets[k]), q, into: block)
          case .q8_0:
            // Levels from -127 up were stored from 0 up.
            for l in 0..<32 { q[l] = q[l] &- 127 }
            BlockQ8_0.pack(d, q, into: block)
          default: preconditionFailure("\(shape.type) has no scalar levels")
          }
        }
      }
    }
  }
}
