import Tensors

/// Floats that parallel kernels share, each task writing elements of its own. Uninitialised when made.
///
/// This is the one owner of unsafe storage in the forward pass; kernels take its ``Floats``.
final class FloatBuffer: @unchecked Sendable {
  let floats: Floats
  private let account: MemoryAccount?

  var count: Int { floats.count }

  init(count: Int, account: MemoryAccount? = nil) {
    floats = Floats(
      base: account?.allocate(count) ?? FloatMemory.allocate(count, mappedFrom: FloatMemory.scratchMappedMinimum),
      count: count)
    self.account = account
  }

  deinit {
    if let account {
      account.give(back: floats.base, count)
    } else {
      FloatMemory.free(floats.base, count, mappedFrom: FloatMemory.scratchMappedMinimum)
    }
  }

  func copy() -> FloatBuffer {
    let other = FloatBuffer(count: count, account: account)
    other.floats.base.update(from: floats.base, count: count)
    return other
  }
}

/// A run of floats inside a ``FloatBuffer`` that outlives it.
struct Floats: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>
  let count: Int

  func from(_ offset: Int) -> Floats {
    precondition(offset >= 0 && offset <= count, "offset \(offset) of \(count)")
    return Floats(base: base + offset, count: count - offset)
  }

  func slice(_ offset: Int, _ length: Int) -> Floats {
    precondition(offset >= 0 && length >= 0 && offset + length <= count, "\(length) from \(offset) of \(count)")
    return Floats(base: base + offset, count: length)
  }

  func withSpan<R>(_ body: (Span<Float>) throws -> R) rethrows -> R {
    try body(Span(_unsafeStart: UnsafePointer(base), count: count))
  }

  func withMutableSpan<R>(_ body: (inout MutableSpan<Float>) throws -> R) rethrows -> R {
    var span = MutableSpan(_unsafeStart: base, count: count)
    return try body(&span)
  }
}
