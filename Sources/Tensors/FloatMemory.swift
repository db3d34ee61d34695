#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Uninitialised memory for floats, aligned to a cache line.
///
/// Large pieces are mapped and unmapped by the system. An allocator would keep free pieces between pieces in use, which
/// took half of a small budget. The largest pieces use pages of 2 MiB where the system has them, because a product
/// reads rows that are pages apart.
package enum FloatMemory {
  /// Allocates `count` floats.
  ///
  /// - Parameter minimum: the smallest count that is mapped. For short-lived pieces the allocator is cheaper: its pages
  ///   are in memory already.
  package static func allocate(_ count: Int, mappedFrom minimum: Int = mappedMinimum) -> UnsafeMutablePointer<Float> {
    guard count >= minimum else { return fresh(count) }
    let bytes = count * 4
    let page = bytes >= 2 * hugePage ? hugePage : 0
    let raw = mmap(nil, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard var raw, raw != MAP_FAILED else { preconditionFailure("the system has no memory for \(count) floats") }
    if page > 0 {
      // Unmap what is before the first large page and after the last.
      let before = (page - Int(bitPattern: raw) % page) % page
      if before > 0 { munmap(raw, before) }
      raw += before
      let end = (bytes + smallPage - 1) / smallPage * smallPage
      if page > before + end - bytes { munmap(raw + end, page - before - (end - bytes)) }
      askForHugePages(raw, bytes)
    }
    return raw.bindMemory(to: Float.self, capacity: count)
  }

  /// Frees memory from ``allocate(_:mappedFrom:)``, which had the same arguments.
  package static func free(_ base: UnsafeMutablePointer<Float>, _ count: Int, mappedFrom minimum: Int = mappedMinimum) {
    if count >= minimum { munmap(base, count * 4) } else { release(base) }
  }

  /// Memory for the duration of `body`.
  package static func withScratch<R>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> R) rethrows -> R {
    let base = allocate(count, mappedFrom: scratchMappedMinimum)
    defer { free(base, count, mappedFrom: scratchMappedMinimum) }
    return try body(base)
  }

  /// The smallest count of floats that is mapped by default.
  package static let mappedMinimum = 1 << 15
  /// The smallest count that is mapped for scratch memory, which is too short-lived for fresh pages.
  package static let scratchMappedMinimum = 1 << 20
  private static let hugePage = 2 << 20
  private static let smallPage = max(4096, sysconf(Int32(_SC_PAGESIZE)))

  /// Aligns by itself: glibc's posix_memalign does not reuse a freed piece of the same size once a small piece is
  /// beside it, and a long run grew to three times a small budget.
  private static func fresh(_ count: Int) -> UnsafeMutablePointer<Float> {
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1) * 4 + line + MemoryLayout<UnsafeMutableRawPointer>.size, alignment: 16)
    let base = (raw + MemoryLayout<UnsafeMutableRawPointer>.size).alignedUp(toMultipleOf: line)
    (base - MemoryLayout<UnsafeMutableRawPointer>.size).storeBytes(of: raw, as: UnsafeMutableRawPointer.self)
    return base.bindMemory(to: Float.self, capacity: max(count, 1))
  }

  private static func release(_ base: UnsafeMutablePointer<Float>) {
    (UnsafeMutableRawPointer(base) - MemoryLayout<UnsafeMutableRawPointer>.size)
      .load(as: UnsafeMutableRawPointer.self).deallocate()
  }

  /// Bytes of a cache line.
  private static let line = 64
}
