import CBlocks

/// gᵀ M_gg g of all codewords g = s m for the groups of a sub-block, computed when a pattern of signs (or a shift) is first
/// used. One thread's memory, for one sub-block after the other.
///
/// With eight coordinates the square is that of the first four, that of the last four, and mixed terms; each half has few
/// patterns, so that most of the work is shared by all patterns.
struct CodewordSquares {
  private let table: CodewordTable
  private let groups: Int
  private let floats: UnsafeMutablePointer<Float>
  private let isSet: UnsafeMutablePointer<Bool>

  /// Arrays of a group: its patterns; then, of eight signed coordinates, eight squares of each half, and eight times four
  /// mixed terms.
  private var arrays: Int { Self.arrays(table) }

  @inline(__always) private static func arrays(_ table: CodewordTable) -> Int {
    table.patterns + (!table.isShifted && table.dims == 8 ? 2 * 8 + 8 * 4 : 0)
  }

  init(_ shape: CodebookShape) {
    table = shape.table
    groups = shape.subBlock / table.dims
    let arrays = Self.arrays(table)
    floats = .allocate(capacity: groups * arrays * table.count)
    isSet = .allocate(capacity: groups * arrays)
    isSet.initialize(repeating: false, count: groups * arrays)
  }

  static func bytes(_ shape: CodebookShape) -> Int {
    let table = shape.table
    return 4 * (shape.subBlock / table.dims) * arrays(table) * table.count
  }

  func deallocate() {
    floats.deallocate()
    isSet.deallocate()
  }

  /// To be called before another sub-block.
  func clear() { isSet.update(repeating: false, count: groups * arrays) }

  @inline(__always)
  func callAsFunction(_ g: Int, pattern: Int, _ metric: UnsafePointer<Float>) -> UnsafePointer<Float> {
    let index = g * arrays + pattern
    if !isSet[index] { fill(g, pattern, metric) }
    return UnsafePointer(floats + index * table.count)
  }

  /// Array `index` of group g where `make` fills it in when it is needed first.
  @inline(__always)
  private func array(_ g: Int, _ index: Int, _ make: (UnsafeMutablePointer<Float>) -> Void) -> UnsafePointer<Float> {
    let index = g * arrays + index
    let array = floats + index * table.count
    if !isSet[index] {
      isSet[index] = true
      make(array)
    }
    return UnsafePointer(array)
  }

  @inline(never) private func fill(_ g: Int, _ pattern: Int, _ metric: UnsafePointer<Float>) {
    let (values, count) = (table.values, table.count)
    var signs = InlineArray<8, Float>(repeating: 1)
    if !table.isShifted {
      for i in 0..<table.dims where pattern >> i & 1 == 1 { signs[i] = -1 }
    }
    withUnsafePointer(to: &signs) { signs in
      let signs = UnsafeRawPointer(signs).assumingMemoryBound(to: Float.self)
      _ = array(g, pattern) { squares in
        if table.isShifted {
          cv_squares8(values, count, metric, signs, pattern == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1, squares)
        } else if table.dims == 4 {
          cv_squares4(values, count, metric, signs, squares)
        } else {
          // All signs of a half may be flipped; the last of the pattern is positive.
          let low = pattern & 8 == 0 ? pattern & 7 : ~pattern & 7
          let high = pattern >> 4
          let offset = table.patterns
          let first = array(g, offset + low) { cv_squares4(values, count, metric, signs, $0) }
          let second = array(g, offset + 8 + high) {
            cv_squares4(values + 4 * count, count, metric + 36, signs + 4, $0)
          }
          let mixed = floats + (g * arrays + offset + 16 + 4 * high) * count
          _ = array(g, offset + 16 + 4 * high) { cv_mixed_squares(values, count, metric, signs + 4, $0) }
          cv_join_squares(first, second, mixed, count, signs, squares)
        }
      }
    }
  }
}
