import GGUF
import Tensors

/// Rows of one or several tensors that are read together and are in memory at the same time.
struct WeightRequest: Equatable, Sendable {
  struct Piece: Equatable, Sendable {
    let tensor: TensorInfo
    let rows: Range<Int>
    /// Elements of these rows, and of their panels.
    var count: Int { rows.count * tensor.shape.columns }
    var packedCount: Int { WeightLayout.count(rows: rows.count, columns: tensor.shape.columns) }
  }
  let pieces: [Piece]
  /// Whether the rows are wanted in the layout of the product engine.
  var isPacked = true
  var count: Int { pieces.reduce(0) { $0 + size($1) } }

  func size(_ piece: Piece) -> Int { isPacked ? piece.packedCount : piece.count }

  /// Rows of a block are multiples of this where the limit allows, so that the tiles of a matrix product are the same
  /// for every limit.
  static let alignment = 256

  /// Covers the tensors with blocks of at most `limit` floats (or of 64 rows, where even those are more).
  ///
  /// - Parameter together: the tensors have rows of the same meaning (gate and up), so that a block holds the same
  ///   rows of each; otherwise one follows the other.
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
  /// The blocks that cover the matrix.
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
