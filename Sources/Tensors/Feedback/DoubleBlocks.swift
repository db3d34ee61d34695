import CVectors

/// A matrix in double precision that a product reads, row after row or transposed.
struct DoubleMatrix {
  let base: UnsafePointer<Double>
  /// Elements between the beginnings of two stored rows.
  let stride: Int
  var isTransposed = false

  fileprivate var row: Int { isTransposed ? 1 : stride }
  fileprivate var column: Int { isTransposed ? stride : 1 }
}

/// Products of square blocks in double precision, on one thread, with a scratch memory of its own.
///
/// An element's bits depend on its row and column alone. OpenBLAS takes kernels of two lanes on machines that it does not
/// know, and is a quarter as fast there.
struct DoubleBlocks: ~Copyable {
  /// Rows and columns of a block.
  static let size = 256
  private static let (across, down) = (8, 4)
  private let left: UnsafeMutablePointer<Double>
  private let right: UnsafeMutablePointer<Double>

  init() {
    left = .allocate(capacity: Self.size * Self.size)
    right = .allocate(capacity: Self.size * Self.size)
  }

  deinit {
    left.deallocate()
    right.deallocate()
  }

  /// c (+)= sign * a b for a [size, k], b [k, size] and c [size, size], k a multiple of ``size``.
  func multiply(
    _ a: DoubleMatrix, by b: DoubleMatrix, k: Int, into c: UnsafeMutablePointer<Double>, stride: Int, sign: Double,
    accumulate: Bool
  ) {
    let (size, down, across) = (Self.size, Self.down, Self.across)
    let isWide = cv_has_wide_tiles() != 0
    for start in Swift.stride(from: 0, to: k, by: size) {
      for row in Swift.stride(from: 0, to: size, by: down) {
        cv_pack_doubles(a.base + row * a.row + start * a.column, a.row, a.column, down, size, left + row * size)
      }
      for column in Swift.stride(from: 0, to: size, by: across) {
        cv_pack_doubles(
          b.base + column * b.column + start * b.row, b.column, b.row, across, size, right + column * size)
      }
      let adds: Int32 = accumulate || start > 0 ? 1 : 0
      for column in Swift.stride(from: 0, to: size, by: 2 * across) {
        for row in Swift.stride(from: 0, to: size, by: 2 * down) {
          let (x, y, target) = (left + row * size, right + column * size, c + row * stride + column)
          if isWide {
            cv_wide_double_tile(size, x, down * size, y, across * size, target, stride, adds, sign)
          } else {
            cv_double_tile(size, x, down * size, y, across * size, target, stride, adds, sign)
          }
        }
      }
    }
  }
}
