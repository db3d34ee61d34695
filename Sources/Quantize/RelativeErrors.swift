import Blocks
import GGUF
import Tensors

/// The importance-weighted relative squared error of each type for a tensor, measured by encoding and decoding.
///
/// The error is a good predictor of the loss only when multiplied by a coefficient measured end to end. Mixes chosen by
/// the error alone are worse than the stock mixes.
public struct RelativeErrors: Sendable {
  /// The number of weights that are encoded; a larger tensor is sampled in evenly spaced rows. The sampling error is
  /// far below that of the coefficients.
  public var weightLimit = 2 << 20
  /// The number of matrices of a stack that are encoded.
  public var matrixLimit = 8

  /// The default limits.
  public init() {}

  /// Measures the errors of `types`. Types that don't fit the tensor, or need importance that is missing, are left out.
  ///
  /// - Parameter importance: mean squared activations, [matrices, columns]; nil if unknown.
  /// - Throws: ``QuantizeError/nonFiniteWeight(tensor:row:column:path:)``, and what reading the source throws.
  public func measure(
    _ tensor: TensorInfo, of source: any ModelSource, types: [GGMLType], importance: [Float]?
  ) throws -> [GGMLType: Double] {
    let shape = tensor.shape
    let columns = shape.columns
    var result: [GGMLType: RelativeError] = [:]
    let matrices = spread(shape.matrices, limit: matrixLimit)
    let rowLimit = max(16, weightLimit / max(1, columns * matrices.count))
    for matrix in matrices {
      let weights = importance.map { $0[matrix * columns..<(matrix + 1) * columns] }
      let rows = try sample(tensor, matrix: matrix, rowLimit: rowLimit, of: source)
      for type in types where columns % type.blockLength == 0 && type.canEncode {
        if type.needsImportance && weights == nil { continue }
        result[type, default: RelativeError()] += try Self.error(
          rows, columns: columns, weights, as: type, tensor: tensor.name)
      }
    }
    return result.mapValues(\.value)
  }

  private func spread(_ count: Int, limit: Int) -> [Int] {
    count <= limit ? Array(0..<count) : (0..<limit).map { $0 * count / limit }
  }

  private func sample(
    _ tensor: TensorInfo, matrix: Int, rowLimit: Int, of source: any ModelSource
  ) throws -> [Float] {
    let perMatrix = tensor.shape.rowsPerMatrix
    let first = matrix * perMatrix
    if perMatrix <= rowLimit { return try source.rows(first..<first + perMatrix, of: tensor) }
    // Runs of 16 rows keep the number of reads small.
    let run = 16
    return try spread(perMatrix / run, limit: rowLimit / run).flatMap { index in
      try source.rows(first + index * run..<first + (index + 1) * run, of: tensor)
    }
  }

  /// The weighted squared error and energy of rows after encoding and decoding as `type`.
  static func error(
    _ rows: [Float], columns: Int, _ weights: ArraySlice<Float>?, as type: GGMLType, tensor: String
  ) throws -> RelativeError {
    guard let rowBytes = type.rowBytes(columns: columns) else { return RelativeError() }
    let count = rows.count / columns
    var bytes = [UInt8](repeating: 0, count: count * rowBytes)
    do {
      _ = try encodeInParallel(rows, columns: columns, weights, as: type, into: &bytes)
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(tensor: tensor, row: row, column: column)
    }
    var decoded = [Float](repeating: 0, count: rows.count)
    var output = decoded.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &output)
    let errorWeights = weights.map { weights -> [Double] in
      // The encoder replaces invalid entries by the mean, too.
      let good = weights.filter { $0 > 0 && $0.isFinite }
      let mean = good.isEmpty ? 1 : good.reduce(0.0) { $0 + Double($1) } / Double(good.count)
      return weights.map { $0 > 0 && $0.isFinite ? Double($0) : mean }
    }
    var error = RelativeError()
    error.add(decoded.span, to: rows.span, columns: columns, weights: errorWeights)
    return error
  }
}
