/// A sub-block's codes at one scale, and the state of the super-block that they continue.
struct CodebookPath {
  /// Targets, moved by the errors of earlier groups.
  let t: UnsafeMutablePointer<Float>
  /// Decoded values.
  let v: UnsafeMutablePointer<Float>
  /// Errors e = t - v as they are fed back: of every column after those before it.
  let e: UnsafeMutablePointer<Float>
  /// Errors of a group, and the products that a scan reads.
  let work: UnsafeMutablePointer<Float>
  /// The cost of the super-block so far; and after every octet of the sub-block.
  var cost: Float = 0
  var partial = InlineArray<4, Float>(repeating: 0)
  var parent = 0
  var scale = 0
  /// As ``CodebookSuperBlock`` has them.
  var codes = InlineArray<8, UInt16>(repeating: 0)
  var signs = InlineArray<4, UInt8>(repeating: 0)

  /// Floats of its memory: four arrays of a sub-block's 32 columns, and 8 more that vectors write beyond their end.
  static let size = 4 * array
  private static let array = 32 + 8

  init(_ memory: UnsafeMutablePointer<Float>) {
    let array = Self.array
    (t, v, e, work) = (memory, memory + array, memory + 2 * array, memory + 3 * array)
  }

  @inline(__always)
  mutating func begin(_ targets: UnsafePointer<Float>, _ count: Int, parent: Int, scale: Int, cost: Float) {
    t.update(from: targets, count: count)
    (self.parent, self.scale, self.cost) = (parent, scale, cost)
  }
}

/// The best paths of one row through a sub-block.
struct CodebookBeam {
  /// Maximum number of paths that are kept.
  let width: Int
  /// The paths that are kept, best first, and one that is free.
  private let order: UnsafeMutablePointer<UnsafeMutablePointer<CodebookPath>>
  private let paths: UnsafeMutablePointer<CodebookPath>
  private let floats: UnsafeMutablePointer<Float>
  private(set) var count = 0
  private var limit = Float.nan
  /// For each octet, a fraction of the minimum cost of the octets behind it over all paths so far. Paths that would exceed
  /// the bound with it are left: that saves a tenth to a fifth of the time, and changes the error by less than 0.5 %.
  private(set) var tails = InlineArray<4, Float>(repeating: 0)

  init(width: Int) {
    self.width = width
    let floats = UnsafeMutablePointer<Float>.allocate(capacity: (width + 1) * CodebookPath.size)
    floats.initialize(repeating: 0, count: (width + 1) * CodebookPath.size)
    paths = .allocate(capacity: width + 1)
    order = .allocate(capacity: width + 1)
    for i in 0...width {
      (paths + i).initialize(to: CodebookPath(floats + i * CodebookPath.size))
      order[i] = paths + i
    }
    self.floats = floats
  }

  func deallocate() {
    order.deallocate()
    paths.deallocate()
    floats.deallocate()
  }

  /// Forgets all paths. Later ones are kept only below `limit`, unless it is NaN.
  mutating func clear(limit: Float = .nan) {
    (count, self.limit) = (0, limit)
    tails = InlineArray(repeating: 0)
  }

  subscript(index: Int) -> UnsafeMutablePointer<CodebookPath> { order[index] }

  /// The path to work on.
  @inline(__always) var free: UnsafeMutablePointer<CodebookPath> { order[count] }

  /// The cost from which on paths are not kept. NaN if all are kept.
  @inline(__always) var bound: Float { count < width ? limit : order[width - 1].pointee.cost }

  /// Keeps the free path, whose cost is below the bound.
  mutating func keep(octets: Int) {
    let path = order[count]
    for o in 0..<octets {
      let tail = 0.6 * (path.pointee.cost - path.pointee.partial[o])
      tails[o] = count == 0 ? tail : min(tails[o], tail)
    }
    var index = min(count, width - 1)
    // The last of a full beam becomes the free one.
    if count == width { order[width] = order[width - 1] } else { count += 1 }
    while index > 0 && !(order[index - 1].pointee.cost <= path.pointee.cost) {
      order[index] = order[index - 1]
      index -= 1
    }
    order[index] = path
  }
}

/// Scales to try, from the likeliest outwards.
struct CodebookScales {
  private(set) var indices = InlineArray<16, Int>(repeating: 0)
  private(set) var count = 0

  /// `count` scales around `near`, or as many of them as there are.
  init(near: Int, count: Int, _ shape: CodebookShape) {
    var distance = 0
    while self.count < min(count, shape.scaleLevels) {
      for k in distance == 0 ? [near] : [near + distance, near - distance]
      where k >= 0 && k < shape.scaleLevels && self.count < count {
        indices[self.count] = k
        self.count += 1
      }
      distance += 1
    }
  }
}
