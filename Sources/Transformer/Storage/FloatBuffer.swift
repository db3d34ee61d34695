import Tensors

/// Floats that parallel kernels share, each task writing elements of its own. Uninitialised when made.
///
/// This file is the one that keeps memory alive for pointers: everything else in the forward pass holds views
/// (``Floats``), which retain their owner; kernels get pointers for the duration of a call.
final class FloatBuffer: @unchecked Sendable {
  let count: Int
  private let base: UnsafeMutablePointer<Float>
  private let account: MemoryAccount?

  init(count: Int, account: MemoryAccount? = nil) {
    self.count = count
    self.account = account
    base = account?.allocate(count) ?? FloatMemory.allocate(count, mappedFrom: FloatMemory.scratchMappedMinimum)
  }

  deinit {
    if let account {
      account.give(back: base, count)
    } else {
      FloatMemory.free(base, count, mappedFrom: FloatMemory.scratchMappedMinimum)
    }
  }

  /// All elements.
  var floats: Floats { Floats(FloatPointer(base: base, count: count), owner: self) }

  func copy() -> FloatBuffer {
    let other = FloatBuffer(count: count, account: account)
    other.base.update(from: base, count: count)
    return other
  }
}

/// A run of floats together with the object that owns them: a view never outlives its memory.
struct Floats: Sendable {
  fileprivate let pointer: FloatPointer
  fileprivate let owner: any AnyObject & Sendable

  fileprivate init(_ pointer: FloatPointer, owner: any AnyObject & Sendable) {
    self.pointer = pointer
    self.owner = owner
  }

  var count: Int { pointer.count }

  /// The elements from `offset` on.
  func from(_ offset: Int) -> Floats { Floats(pointer.from(offset), owner: owner) }

  func slice(_ offset: Int, _ length: Int) -> Floats { Floats(pointer.slice(offset, length), owner: owner) }

  /// The same elements, whose memory is in use as long as `owner` exists.
  func owned(by owner: any AnyObject & Sendable) -> Floats { Floats(pointer, owner: owner) }

  func fill(with value: Float) {
    withPointers(self) { $0.base.update(repeating: value, count: $0.count) }
  }

  func withSpan<R>(_ body: (Span<Float>) throws -> R) rethrows -> R {
    try withPointers(self) { try body(Span(_unsafeStart: UnsafePointer($0.base), count: $0.count)) }
  }

  func withMutableSpan<R>(_ body: (inout MutableSpan<Float>) throws -> R) rethrows -> R {
    try withPointers(self) { floats in
      var span = MutableSpan(_unsafeStart: floats.base, count: floats.count)
      return try body(&span)
    }
  }
}

/// A run of floats that somebody else keeps alive: for kernels, which get it from ``withPointers(_:_:)``.
struct FloatPointer: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let count: Int

  func from(_ offset: Int) -> FloatPointer {
    precondition(offset >= 0 && offset <= count, "offset \(offset) of \(count)")
    return FloatPointer(base: base + offset, count: count - offset)
  }

  func slice(_ offset: Int, _ length: Int) -> FloatPointer {
    precondition(offset >= 0 && length >= 0 && offset + length <= count, "\(length) from \(offset) of \(count)")
    return FloatPointer(base: base + offset, count: length)
  }
}

/// Calls `body` with pointers to the views' elements, which are good until it returns.
func withPointers<R>(_ a: Floats, _ body: (FloatPointer) throws -> R) rethrows -> R {
  try withExtendedLifetime(a.owner) { try body(a.pointer) }
}

/// The same for two views.
func withPointers<R>(
  _ a: Floats, _ b: Floats, _ body: (FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner)) { try body(a.pointer, b.pointer) }
}

/// The same for three views.
func withPointers<R>(
  _ a: Floats, _ b: Floats, _ c: Floats, _ body: (FloatPointer, FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner, c.owner)) { try body(a.pointer, b.pointer, c.pointer) }
}

/// The same for four views.
func withPointers<R>(
  _ a: Floats, _ b: Floats, _ c: Floats, _ d: Floats,
  _ body: (FloatPointer, FloatPointer, FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner, c.owner, d.owner)) {
    try body(a.pointer, b.pointer, c.pointer, d.pointer)
  }
}
