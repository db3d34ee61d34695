/// A matrix with a row per token, slab by slab: in memory, or in the scratch file where memory does not reach.
///
/// Copies share their slabs until one of them is written to.
struct Activations: Sendable {
  let layout: WindowLayout
  let columns: Int
  /// Decided once, for the whole matrix.
  let isSpilled: Bool
  private var slabs: [Slab]
  let storage: ActivationStorage

  private enum Slab: Sendable {
    case empty
    case resident(FloatBuffer)
    case spilled([(columns: Range<Int>, chunk: ScratchFile.Chunk)])
  }

  /// - Parameter spills: where set, decides instead of the memory that is left.
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

  /// Changes the rows of a slab. One that was never written starts uninitialised.
  mutating func update(_ slab: Int, _ body: (Floats) throws -> Void) throws {
    let buffer: FloatBuffer
    switch slabs[slab] {
    case .empty: buffer = makeBuffer(slab, columns)
    case .resident(var own):
      slabs[slab] = .empty
      buffer = isKnownUniquelyReferenced(&own) ? own : own.copy()
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

  /// Writes some columns of a slab for the first time. `body` gets the place of the first of them and the distance
  /// between rows.
  mutating func fill(_ slab: Int, columns range: Range<Int>, _ body: (Floats, _ stride: Int) throws -> Void) throws {
    if isSpilled, let scratch = storage.scratch {
      let buffer = makeBuffer(slab, range.count)
      try layout.locating(inSlab: slab) { try body(buffer.floats, range.count) }
      var parts: [(columns: Range<Int>, chunk: ScratchFile.Chunk)] = []
      if case .spilled(let own) = slabs[slab] { parts = own }
      parts.append((range, try scratch.write(buffer.floats)))
      slabs[slab] = .spilled(parts)
      return
    }
    if case .empty = slabs[slab] { slabs[slab] = .resident(makeBuffer(slab, columns)) }
    guard case .resident(let buffer) = slabs[slab] else { preconditionFailure("slab \(slab) is spilled") }
    try layout.locating(inSlab: slab) { try body(buffer.floats.from(range.lowerBound), columns) }
  }

  /// Frees a slab's rows.
  mutating func drop(_ slab: Int) { slabs[slab] = .empty }

  private func makeBuffer(_ slab: Int, _ width: Int) -> FloatBuffer {
    FloatBuffer(count: layout.tokens(inSlab: slab) * width, account: storage.account)
  }

  private func load(
    _ parts: [(columns: Range<Int>, chunk: ScratchFile.Chunk)], into floats: Floats, rows: Int
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

/// Where activations live: what memory they may take, and the scratch file for the rest.
struct ActivationStorage: Sendable {
  let account: MemoryAccount
  let scratch: ScratchFile?
}

extension Activations {
  /// Keeps some positions of every window only.
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
  /// Several matrices of one layout as one, slabs shared. Every slab has to be full, so that they keep their places.
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

  /// The opposite of joining `count` matrices.
  func split(_ count: Int) -> [Activations] {
    precondition(layout.windows % count == 0 && layout.slabs % count == 0, "\(layout) by \(count)")
    let own = WindowLayout(
      windows: layout.windows / count, length: layout.length, firstPosition: layout.firstPosition,
      windowsPerSlab: layout.windowsPerSlab)
    return (0..<count).map { index in
      var part = Activations(own, columns: columns, storage: storage, spills: isSpilled)
      part.slabs = Array(slabs[index * own.slabs..<(index + 1) * own.slabs])
      return part
    }
  }
}
