import GGUF
import Tensors

/// Rows of one or more tensors that are read together into a weight buffer.
struct WeightRequest: Equatable, Sendable {
  /// Rows of a tensor.
  struct Piece: Equatable, Sendable {
    let tensor: TensorInfo
    let rows: Range<Int>
    /// Elements of the rows.
    var count: Int { rows.count * tensor.shape.columns }
    /// Elements of the rows in the layout of a product engine.
    var packedCount: Int { WeightLayout.count(rows: rows.count, columns: tensor.shape.columns) }
  }
  let pieces: [Piece]
  /// Whether the rows are in the layout of the product engine.
  var isPacked = true
  /// Floats of all pieces.
  var count: Int { pieces.reduce(0) { $0 + size($1) } }

  func size(_ piece: Piece) -> Int { isPacked ? piece.packedCount : piece.count }

  /// The number of rows of a request is a multiple of this if the limit allows it, so that the tiles of a product do
  /// not depend on the limit.
  static let alignment = 256

  /// Requests that cover the tensors, of at most `limit` floats each, but at least 64 rows.
  ///
  /// - Parameter together: whether a request has the same rows of all tensors (gate and up), instead of one tensor
  ///   after
  ///   the other.
  static func covering(_ tensors: [Piece], limit: Int, together: Bool) -> [WeightRequest] {
    let total = tensors.reduce(0) { $0 + $1.count }
    if total <= limit { return [WeightRequest(pieces: tensors)] }
    if !together && tensors.count > 1 {
      return tensors.flatMap { covering([$0], limit: limit, together: false) }
    }
    let width = tensors.reduce(0) { $0 + $1.tensor.shape.columns }
    var step = max(64, limit / max(1, width))
    step -= step % (step >= alignment ? alignment : 64)
    let rows = tensors[0].rows.count
    return stride(from: 0, to: rows, by: step).map { start in
      WeightRequest(
        pieces: tensors.map { piece in
          let first = piece.rows.lowerBound + start
          return Piece(tensor: piece.tensor, rows: first..<min(piece.rows.upperBound, first + step))
        })
    }
  }
}

extension Linear {
  /// Requests that cover the matrix.
  func reads(_ limit: Int) -> [WeightRequest] { WeightRequest.covering([piece], limit: limit, together: false) }
}

extension TensorInfo {
  /// All rows.
  var whole: WeightRequest.Piece { WeightRequest.Piece(tensor: self, rows: 0..<shape.rows) }

  /// The rows of one matrix of a stack.
  func matrix(_ index: Int) -> WeightRequest.Piece {
    let rows = shape.rowsPerMatrix
    return WeightRequest.Piece(tensor: self, rows: index * rows..<(index + 1) * rows)
  }
}
