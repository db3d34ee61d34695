/// A matrix with a row per token, in slabs that are in memory or in the scratch file.
///
/// Copies share their slabs until one of them is changed.
struct Activations: Sendable {
  let layout: WindowLayout
  let columns: Int
  /// Whether all slabs are in the scratch file.
  let isSpilled: Bool
  private var slabs: [Slab]
  let storage: ActivationStorage

  private enum Slab: Sendable {
    case empty
    case resident(FloatBuffer)
    case spilled([(columns: Range<Int>, chunk: ScratchFile.Chunk)])
  }

  /// - Parameter spills: whether slabs are spilled; nil to decide by the remaining memory.
  init(_ layout: WindowLayout, columns: Int, storage: ActivationStorage, spills: Bool? = nil) {
    self.layout = layout
    self.columns = columns
    self.storage = storage
    slabs = Array(repeating: .empty, count: layout.slabs)
    isSpilled = storage.scratch != nil && (spills ?? !storage.account.admits(layout.tokens * columns * 4))
  }

  /// The rows of a slab, for reading.
  func read(_ slab: Int) throws -> FloatBuffer {
    switch slabs[slab] {
    case .resident(let buffer): return buffer
    case .spilled(let parts):
      let buffer = makeBuffer(slab, columns)
      try load(parts, into: buffer.floats, rows: layout.tokens(inSlab: slab))
      return buffer
    case .empty: preconditionFailure("slab \(slab) was never written")
    }
  }

  /// Changes the rows of a slab. A new slab is uninitialised.
  mutating func update(_ slab: Int, _ body: (FloatView) throws -> Void) throws {
    let buffer: FloatBuffer
    switch slabs[slab] {
    case .empty: buffer = makeBuffer(slab, columns)
    case .resident(var resident):
      slabs[slab] = .empty
      buffer = isKnownUniquelyReferenced(&resident) ? resident : resident.copy()
    case .spilled(let parts):
      buffer = makeBuffer(slab, columns)
      try load(parts, into: buffer.floats, rows: layout.tokens(inSlab: slab))
    }
    try layout.locating(inSlab: slab) { try body(buffer.floats) }
    if isSpilled, let scratch = storage.scratch {
      slabs[slab] = .spilled([(0..<columns, try scratch.write(buffer.floats))])
    } else {
      slabs[slab] = .resident(buffer)
    }
  }

  /// Writes some columns of a slab for the first time. `body` receives the elements from the first of them on, and the
  /// number of elements from one row to the next.
  mutating func fill(_ slab: Int, columns range: Range<Int>, _ body: (FloatView, _ stride: Int) throws -> Void) throws {
    if isSpilled, let scratch = storage.scratch {
      let buffer = makeBuffer(slab, range.count)
      try layout.locating(inSlab: slab) { try body(buffer.floats, range.count) }
      var parts: [(columns: Range<Int>, chunk: ScratchFile.Chunk)] = []
      if case .spilled(let written) = slabs[slab] { parts = written }
      parts.append((range, try scratch.write(buffer.floats)))
      slabs[slab] = .spilled(parts)
      return
    }
    if case .empty = slabs[slab] { slabs[slab] = .resident(makeBuffer(slab, columns)) }
    guard case .resident(let buffer) = slabs[slab] else { preconditionFailure("slab \(slab) is spilled") }
    try layout.locating(inSlab: slab) { try body(buffer.floats.from(range.lowerBound), columns) }
  }

  /// Takes the elements of a matrix of the same layout, in this matrix's storage.
  mutating func assign(_ other: Activations) throws {
    precondition(layout == other.layout && columns == other.columns, "\(layout) and \(other.layout)")
    for slab in 0..<layout.slabs {
      let rows = try other.read(slab)
      // Nothing is kept of a spilled slab.
      drop(slab)
      let (count, width) = (layout.tokens(inSlab: slab), columns)
      try update(slab) {
        copyRows(from: rows.floats, stride: width, to: $0, stride: width, rows: count, columns: width)
      }
    }
  }

  /// Frees a slab's rows.
  mutating func drop(_ slab: Int) { slabs[slab] = .empty }

  private func makeBuffer(_ slab: Int, _ width: Int) -> FloatBuffer {
    FloatBuffer(count: layout.tokens(inSlab: slab) * width, account: storage.account)
  }

  private func load(
    _ parts: [(columns: Range<Int>, chunk: ScratchFile.Chunk)], into floats: FloatView, rows: Int
  ) throws {
    for part in parts {
      if part.columns.count == columns {
        try part.chunk.read(into: floats)
      } else {
        let slice = FloatBuffer(count: rows * part.columns.count, account: storage.account)
        try part.chunk.read(into: slice.floats)
        copyRows(
          from: slice.floats, stride: part.columns.count, to: floats.from(part.columns.lowerBound), stride: columns,
          rows: rows, columns: part.columns.count)
      }
    }
  }
}

/// The storage of activations: an account of memory, and the scratch file for spilled slabs.
struct ActivationStorage: Sendable {
  let account: MemoryAccount
  let scratch: ScratchFile?
}

extension Activations {
  /// Removes all positions of every window except some.
  mutating func restrict(to positions: Range<Int>) throws {
    let kept = layout.keeping(positions)
    var result = Activations(kept, columns: columns, storage: storage)
    for slab in 0..<layout.slabs {
      let rows = try read(slab)
      try result.update(slab) { out in
        for window in 0..<layout.windows(inSlab: slab).count {
          let first = window * layout.length + positions.lowerBound - layout.firstPosition
          copyRows(
            from: rows.floats.from(first * columns), stride: columns,
            to: out.from(window * kept.length * columns), stride: columns, rows: kept.length, columns: columns)
        }
      }
      drop(slab)
    }
    self = result
  }
}

extension Activations {
  /// One matrix of several matrices of the same layout, whose slabs it shares. Every slab has to be full.
  init(joining parts: [Activations]) {
    let first = parts[0]
    precondition(
      parts.allSatisfy { $0.layout == first.layout && $0.columns == first.columns }
        && first.layout.windows % first.layout.windowsPerSlab == 0, "\(first.layout)")
    layout = WindowLayout(
      windows: first.layout.windows * parts.count, length: first.layout.length,
      firstPosition: first.layout.firstPosition, windowsPerSlab: first.layout.windowsPerSlab)
    columns = first.columns
    storage = first.storage
    isSpilled = first.isSpilled
    slabs = parts.flatMap(\.slabs)
  }

  /// The `count` matrices of a joined matrix.
  func split(_ count: Int) -> [Activations] {
    precondition(layout.windows % count == 0 && layout.slabs % count == 0, "\(layout) by \(count)")
    let layout = WindowLayout(
      windows: layout.windows / count, length: layout.length, firstPosition: layout.firstPosition,
      windowsPerSlab: layout.windowsPerSlab)
    return (0..<count).map { index in
      var matrix = Activations(layout, columns: columns, storage: storage, spills: isSpilled)
      matrix.slabs = Array(slabs[index * layout.slabs..<(index + 1) * layout.slabs])
      return matrix
    }
  }
}
