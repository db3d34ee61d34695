#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Memory for floats, uninitialised, at the start of a cache line.
///
/// Large pieces come from the system and go back to it: an allocator would keep what lies between others in use, which
/// made up half of a small budget. The largest lie in pages of 2 MiB where the system has them: a product goes through
/// rows that lie pages apart.
package enum FloatMemory {
  /// - Parameter minimum: floats from which on a piece is taken from the system. Large pieces that come and go often are
  ///   cheaper from the allocator, whose pages are in memory already.
  package static func allocate(_ count: Int, mappedFrom minimum: Int = mappedMinimum) -> UnsafeMutablePointer<Float> {
    guard count >= minimum else { return fresh(count) }
    let bytes = count * 4
    let page = bytes >= 2 * hugePage ? hugePage : 0
    let raw = mmap(nil, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard var raw, raw != MAP_FAILED else { preconditionFailure("the system has no memory for \(count) floats") }
    if page > 0 {
      // The parts before the first whole page and after the last go back.
      let before = (page - Int(bitPattern: raw) % page) % page
      if before > 0 { munmap(raw, before) }
      raw += before
      let end = (bytes + smallPage - 1) / smallPage * smallPage
      if page > before + end - bytes { munmap(raw + end, page - before - (end - bytes)) }
      askForHugePages(raw, bytes)
    }
    return raw.bindMemory(to: Float.self, capacity: count)
  }

  /// Frees what ``allocate(_:mappedFrom:)`` returned for the same arguments.
  package static func free(_ base: UnsafeMutablePointer<Float>, _ count: Int, mappedFrom minimum: Int = mappedMinimum) {
    if count >= minimum { munmap(base, count * 4) } else { release(base) }
  }

  /// Memory for the duration of `body`.
  package static func withScratch<R>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> R) rethrows -> R {
    let base = allocate(count, mappedFrom: scratchMappedMinimum)
    defer { free(base, count, mappedFrom: scratchMappedMinimum) }
    return try body(base)
  }

  package static let mappedMinimum = 1 << 15
  /// Scratch comes and goes too often for fresh pages.
  package static let scratchMappedMinimum = 1 << 20
  private static let hugePage = 2 << 20
  private static let smallPage = max(4096, sysconf(Int32(_SC_PAGESIZE)))

  /// Aligned by hand: glibc's posix_memalign does not find the free piece of an earlier allocation of the same size again
  /// once anything small lies beside it, and a long run grew to three times a small budget.
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
