import CBlocks
import Tensors

// Casts between bytes and blocks; no other file has them.

/// Decodes whole rows of blocks to floats, exactly as ggml does; double precision is rounded to the nearest float.
///
/// Integers are not weights, and have no floats (a precondition: ``Tensors/GGMLType/isInteger``). `bytes` holds `output.count / blockLength` blocks.
public func decodeRows(_ bytes: RawSpan, as type: GGMLType, into output: inout MutableSpan<Float>) {
  precondition(
    output.count % type.blockLength == 0 && bytes.byteCount == output.count / type.blockLength * type.blockBytes,
    "\(bytes.byteCount) bytes of \(type) for \(output.count) elements")
  switch type {
  case .f32: decodeF32(bytes, into: &output)
  case .f64: decodeF64(bytes, into: &output)
  case .f16: decodeF16(bytes, into: &output)
  case .bf16: decodeBF16(bytes, into: &output)
  case .q4_0: decodeBlocks(BlockQ4_0.self, bytes, into: &output)
  case .q4_1: decodeBlocks(BlockQ4_1.self, bytes, into: &output)
  case .q5_0: decodeBlocks(BlockQ5_0.self, bytes, into: &output)
  case .q5_1: decodeBlocks(BlockQ5_1.self, bytes, into: &output)
  case .q8_0: decodeBlocks(BlockQ8_0.self, bytes, into: &output)
  case .q2_K: decodeBlocks(BlockQ2_K.self, bytes, into: &output)
  case .q3_K: decodeBlocks(BlockQ3_K.self, bytes, into: &output)
  case .q4_K: decodeBlocks(BlockQ4_K.self, bytes, into: &output)
  case .q5_K: decodeBlocks(BlockQ5_K.self, bytes, into: &output)
  case .q6_K: decodeBlocks(BlockQ6_K.self, bytes, into: &output)
  case .iq1_s: decodeBlocks(BlockIQ1_S.self, bytes, into: &output)
  case .iq1_m: decodeBlocks(BlockIQ1_M.self, bytes, into: &output)
  case .iq2_xxs: decodeBlocks(BlockIQ2_XXS.self, bytes, into: &output)
  case .iq2_xs: decodeBlocks(BlockIQ2_XS.self, bytes, into: &output)
  case .iq2_s: decodeBlocks(BlockIQ2_S.self, bytes, into: &output)
  case .iq3_xxs: decodeBlocks(BlockIQ3_XXS.self, bytes, into: &output)
  case .iq3_s: decodeBlocks(BlockIQ3_S.self, bytes, into: &output)
  case .iq4_nl: decodeBlocks(BlockIQ4_NL.self, bytes, into: &output)
  case .iq4_xs: decodeBlocks(BlockIQ4_XS.self, bytes, into: &output)
  case .tq1_0: decodeBlocks(BlockTQ1_0.self, bytes, into: &output)
  case .tq2_0: decodeBlocks(BlockTQ2_0.self, bytes, into: &output)
  case .mxfp4: decodeBlocks(BlockMXFP4.self, bytes, into: &output)
  case .i8, .i16, .i32, .i64: preconditionFailure("\(type) is not decoded")
  default:
    guard let affine = type.affine else { preconditionFailure("\(type) is not decoded") }
    decodeAffine(bytes, as: affine, into: &output)
  }
}

/// Encodes rows into blocks of `type`.
///
/// - Parameters:
///   - rows: whole rows of `columns` floats.
///   - importance: `columns` weights that all rows share (mean squared activations), or nil for equal weights. Entries
///     that are zero, negative or not finite count as the mean of the others.
///   - output: exactly the bytes of the rows in `type`.
/// - Returns: how many entries of `importance` were replaced by the mean.
/// - Throws: ``EncodeError``: a weight that is not finite, with its row and column; a type that needs importance and has none.
@discardableResult
public func encodeRows(
  _ rows: Span<Float>, columns: Int, importance: Span<Float>?, as type: GGMLType, into output: inout MutableRawSpan
) throws(EncodeError) -> Int {
  guard type.canEncode else { throw .notEncodable(type) }
  guard let rowBytes = type.rowBytes(columns: columns) else { throw .raggedRow(columns: columns, type: type) }
  guard importance != nil || !type.needsImportance else { throw .needsImportance(type) }
  precondition(columns > 0 && rows.count % columns == 0, "\(rows.count) weights in rows of \(columns)")
  precondition(output.byteCount == rows.count / columns * rowBytes, "\(output.byteCount) bytes for \(type)")
  if let importance { precondition(importance.count == columns, "importance of another width") }
  if let index = firstNonFinite(rows) {
    throw .nonFiniteWeight(row: index / columns, column: index % columns)
  }
  let weights = SearchWeights(importance: importance, columns: columns)
  switch type {
  case .f32: encodeF32(rows, into: &output)
  case .f16: encodeF16(rows, into: &output)
  case .bf16: encodeBF16(rows, into: &output)
  case .q4_0: encodeBlocks(BlockQ4_0.self, rows, weights, into: &output)
  case .q4_1: encodeBlocks(BlockQ4_1.self, rows, weights, into: &output)
  case .q5_0: encodeBlocks(BlockQ5_0.self, rows, weights, into: &output)
  case .q5_1: encodeBlocks(BlockQ5_1.self, rows, weights, into: &output)
  case .q8_0: encodeBlocks(BlockQ8_0.self, rows, weights, into: &output)
  case .q2_K: encodeBlocks(BlockQ2_K.self, rows, weights, into: &output)
  case .q3_K: encodeBlocks(BlockQ3_K.self, rows, weights, into: &output)
  case .q4_K: encodeBlocks(BlockQ4_K.self, rows, weights, into: &output)
  case .q5_K: encodeBlocks(BlockQ5_K.self, rows, weights, into: &output)
  case .q6_K: encodeBlocks(BlockQ6_K.self, rows, weights, into: &output)
  case .iq1_s: encodeBlocks(BlockIQ1_S.self, rows, weights, into: &output)
  case .iq1_m: encodeBlocks(BlockIQ1_M.self, rows, weights, into: &output)
  case .iq2_xxs: encodeBlocks(BlockIQ2_XXS.self, rows, weights, into: &output)
  case .iq2_xs: encodeBlocks(BlockIQ2_XS.self, rows, weights, into: &output)
  case .iq2_s: encodeBlocks(BlockIQ2_S.self, rows, weights, into: &output)
  case .iq3_xxs: encodeBlocks(BlockIQ3_XXS.self, rows, weights, into: &output)
  case .iq3_s: encodeBlocks(BlockIQ3_S.self, rows, weights, into: &output)
  case .iq4_nl: encodeBlocks(BlockIQ4_NL.self, rows, weights, into: &output)
  case .iq4_xs: encodeBlocks(BlockIQ4_XS.self, rows, weights, into: &output)
  case .tq1_0: encodeBlocks(BlockTQ1_0.self, rows, weights, into: &output)
  case .tq2_0: encodeBlocks(BlockTQ2_0.self, rows, weights, into: &output)
  case .mxfp4: encodeBlocks(BlockMXFP4.self, rows, weights, into: &output)
  default:
    guard let affine = type.affine else { throw .notEncodable(type) }
    encodeAffineRows(rows, weights, as: affine, into: &output)
  }
  return weights.replaced
}

extension GGMLType {
  /// True where rows can be written in this type.
  public var canEncode: Bool {
    switch self {
    case .f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: true
    case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K: true
    case .iq4_nl, .iq4_xs, .tq1_0, .tq2_0, .mxfp4: true
    case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s: true
    default: isAffine
    }
  }

  /// True where a file without an importance matrix would be useless, as llama-quantize judges it too.
  public var needsImportance: Bool {
    switch self {
    case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs: true
    default: false
    }
  }
}

/// Encodes rows on all threads; the bytes are those of ``encodeRows(_:columns:importance:as:into:)``.
@discardableResult
public func encodeRowsInParallel(
  _ rows: Span<Float>, columns: Int, importance: Span<Float>?, as type: GGMLType, into output: inout MutableRawSpan
) throws -> Int {
  guard let rowBytes = type.rowBytes(columns: columns) else {
    throw EncodeError.raggedRow(columns: columns, type: type)
  }
  precondition(
    rows.count % columns == 0 && output.byteCount == rows.count / columns * rowBytes,
    "\(output.byteCount) bytes for \(rows.count) weights in rows of \(columns)")
  let grain = max(1, (1 << 16) / max(1, columns))
  let source = SharedFloats(rows)
  var weights: SharedFloats?
  var replaced = 0
  if let importance {
    weights = SharedFloats(importance)
    replaced = SearchWeights(importance: importance, columns: columns).replaced
  }
  try parallelRows(of: &output, rowBytes: rowBytes, grain: grain) { [weights] range, slice throws in
    do {
      let rows = Span(_unsafeElements: source.buffer[range.lowerBound * columns..<range.upperBound * columns])
      if let weights {
        try encodeRows(
          rows, columns: columns, importance: Span(_unsafeElements: weights.buffer), as: type, into: &slice)
      } else {
        try encodeRows(rows, columns: columns, importance: nil, as: type, into: &slice)
      }
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw EncodeError.nonFiniteWeight(row: row + range.lowerBound, column: column)
    }
  }
  return replaced
}

private func decodeBlocks<B: Block>(_: B.Type, _ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  let length = B.type.blockLength
  precondition(MemoryLayout<B>.size == B.type.blockBytes, "\(B.self) has \(MemoryLayout<B>.size) bytes")
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBufferPointer { output in
      guard let base = output.baseAddress else { return }
      for index in 0..<output.count / length {
        let block = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<B>.size, as: B.self)
        block.decode(into: base + index * length)
      }
    }
  }
}

private func decodeBlocks<B: BlockFormat>(_: B.Type, _ bytes: RawSpan, into output: inout MutableSpan<Float>) {
  let (length, size) = (B.type.blockLength, B.type.blockBytes)
  bytes.withUnsafeBytes { bytes in
    output.withUnsafeMutableBufferPointer { output in
      guard let base = output.baseAddress, let blocks = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
        return
      }
      for index in 0..<output.count / length { B.decode(blocks + index * size, into: base + index * length) }
    }
  }
}

private func encodeBlocks<B: BlockFormat>(
  _: B.Type, _ rows: Span<Float>, _ weights: SearchWeights, into output: inout MutableRawSpan
) {
  let blocksPerRow = weights.columns / B.type.blockLength
  rows.withUnsafeBufferPointer { rows in
    weights.values.withUnsafeBufferPointer { values in
      output.withUnsafeMutableBytes { output in
        guard let x = rows.baseAddress, let w = values.baseAddress,
          let bytes = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return }
        for row in 0..<rows.count / weights.columns {
          B.encode(
            x + row * weights.columns, weights: w, count: blocksPerRow,
            into: bytes + row * blocksPerRow * B.type.blockBytes)
        }
      }
    }
  }
}

private func encodeBlocks<B: Block>(
  _: B.Type, _ rows: Span<Float>, _ weights: SearchWeights, into output: inout MutableRawSpan
) {
  let length = B.type.blockLength
  let blocksPerRow = weights.columns / length
  precondition(MemoryLayout<B>.size == B.type.blockBytes, "\(B.self) has \(MemoryLayout<B>.size) bytes")
  rows.withUnsafeBufferPointer { rows in
    weights.values.withUnsafeBufferPointer { weights in
      output.withUnsafeMutableBytes { output in
        guard let x = rows.baseAddress, let w = weights.baseAddress else { return }
        for index in 0..<rows.count / length {
          let block = B(x + index * length, weights: w + index % blocksPerRow * length)
          output.storeBytes(of: block, toByteOffset: index * MemoryLayout<B>.size, as: B.self)
        }
      }
    }
  }
}

/// The index of the first NaN or infinity.
func firstNonFinite(_ x: Span<Float>) -> Int? {
  x.withUnsafeBufferPointer { x in
    guard let base = x.baseAddress else { return nil }
    var index = 0
    // x - x is zero for finite x and NaN otherwise, and a sum with a NaN stays NaN.
    while index + 64 <= x.count {
      var sum = cv_splat(0)
      for offset in stride(from: index, to: index + 64, by: 8) {
        let v = cv_load(base + offset)
        sum += v - v
      }
      if cv_sum(sum).isNaN { break }
      index += 64
    }
    while index < x.count {
      if !x[index].isFinite { return index }
      index += 1
    }
    return nil
  }
}

/// The cost of a squared error in each column: the importance, with unusable entries replaced.
struct SearchWeights {
  let values: [Float]
  let columns: Int
  /// Entries that were zero, negative or not finite.
  let replaced: Int

  init(importance: Span<Float>?, columns: Int) {
    self.columns = columns
    guard let importance else {
      values = [Float](repeating: 1, count: columns)
      replaced = 0
      return
    }
    var sum = 0.0
    var good = 0
    for index in importance.indices where importance[index] > 0 && importance[index].isFinite {
      sum += Double(importance[index])
      good += 1
    }
    let mean = good > 0 ? sum / Double(good) : 1
    // Divided by the mean, so that sums of squares stay far from Float's limits.
    values = importance.indices.map { index in
      let value = importance[index]
      return value > 0 && value.isFinite ? Float(Double(value) / mean) : 1
    }
    replaced = columns - good
  }
}

/// Floats that threads read at once.
struct SharedFloats: @unchecked Sendable {
  let buffer: UnsafeBufferPointer<Float>

  /// The caller keeps the floats alive while threads work.
  init(_ span: Span<Float>) { buffer = span.withUnsafeBufferPointer { $0 } }
}
