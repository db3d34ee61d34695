import Tensors

/// Uninitialised memory for floats. Parallel tasks share it; each writes different elements.
///
/// Only this file extends the lifetime of memory for pointers. All other code of the forward pass holds views
/// (``FloatView``), which retain their owner; kernels receive pointers for the duration of a call.
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
  var floats: FloatView { FloatView(FloatPointer(base: base, count: count), owner: self) }

  func copy() -> FloatBuffer {
    let other = FloatBuffer(count: count, account: account)
    other.base.update(from: base, count: count)
    return other
  }
}

/// A view of contiguous floats that retains their owner.
struct FloatView: Sendable {
  fileprivate let pointer: FloatPointer
  fileprivate let owner: any AnyObject & Sendable

  fileprivate init(_ pointer: FloatPointer, owner: any AnyObject & Sendable) {
    self.pointer = pointer
    self.owner = owner
  }

  var count: Int { pointer.count }

  /// The elements from `offset` on.
  func from(_ offset: Int) -> FloatView { FloatView(pointer.from(offset), owner: owner) }

  func slice(_ offset: Int, _ length: Int) -> FloatView { FloatView(pointer.slice(offset, length), owner: owner) }

  /// A view of the same elements that retains `owner` instead.
  func owned(by owner: any AnyObject & Sendable) -> FloatView { FloatView(pointer, owner: owner) }

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

/// A pointer to contiguous floats that does not retain them. Kernels receive it from ``withPointers(_:_:)``.
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

/// Calls `body` with a pointer to a view's elements, which is valid until it returns.
func withPointers<R>(_ a: FloatView, _ body: (FloatPointer) throws -> R) rethrows -> R {
  try withExtendedLifetime(a.owner) { try body(a.pointer) }
}

/// Calls `body` with pointers to two views' elements.
func withPointers<R>(
  _ a: FloatView, _ b: FloatView, _ body: (FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner)) { try body(a.pointer, b.pointer) }
}

/// Calls `body` with pointers to three views' elements.
func withPointers<R>(
  _ a: FloatView, _ b: FloatView, _ c: FloatView, _ body: (FloatPointer, FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner, c.owner)) { try body(a.pointer, b.pointer, c.pointer) }
}

/// Calls `body` with pointers to four views' elements.
func withPointers<R>(
  _ a: FloatView, _ b: FloatView, _ c: FloatView, _ d: FloatView,
  _ body: (FloatPointer, FloatPointer, FloatPointer, FloatPointer) throws -> R
) rethrows -> R {
  try withExtendedLifetime((a.owner, b.owner, c.owner, d.owner)) {
    try body(a.pointer, b.pointer, c.pointer, d.pointer)
  }
}
