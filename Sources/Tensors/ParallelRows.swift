import Dispatch
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

private let processorCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

/// The number of threads that ``parallelRanges(_:grain:_:)`` uses. Results do not depend on it.
public enum Threads {
  private static let limit = Atomic<Int>(0)
  /// At least 1; by default the number of processors.
  public static var count: Int {
    get {
      let value = limit.load(ordering: .relaxed)
      return value > 0 ? value : processorCount
    }
    set { limit.store(newValue, ordering: .relaxed) }
  }
}

/// Calls `body` for consecutive ranges of at most `grain` that cover `0..<count`, on all threads.
///
/// The ranges do not depend on the number of threads, so a reduction that keeps one result per range and adds them in
/// order is reproducible. Of several errors that of the lowest range is rethrown, after all started work ended.
public func parallelRanges(
  _ count: Int, grain: Int, _ body: @Sendable (_ index: Int, _ range: Range<Int>) throws -> Void
) throws {
  precondition(grain > 0 && count >= 0, "\(count) by \(grain)")
  let ranges = (count + grain - 1) / grain
  guard ranges > 0 else { return }
  let threads = min(Threads.count, ranges)
  if threads == 1 {
    for index in 0..<ranges { try body(index, index * grain..<min(count, (index + 1) * grain)) }
    return
  }
  let next = Atomic<Int>(0)
  let failure = Mutex<(index: Int, error: any Error)?>(nil)
  DispatchQueue.concurrentPerform(iterations: threads) { _ in
    while true {
      let index = next.add(1, ordering: .relaxed).oldValue
      guard index < ranges, failure.withLock({ $0 == nil }) else { return }
      do {
        try body(index, index * grain..<min(count, (index + 1) * grain))
      } catch {
        failure.withLock { if $0 == nil || index < $0!.index { $0 = (index, error) } }
      }
    }
  }
  if let failure = failure.withLock({ $0 }) { throw failure.error }
}

/// Splits `output` into rows and hands ranges of them to `body` in parallel: `slice` holds the rows of `range` only.
///
///     try parallelRows(of: &bytes, rowLength: rowBytes, grain: 16) { range, slice in … }
public func parallelRows<Element: BitwiseCopyable & Sendable>(
  of output: inout MutableSpan<Element>, rowLength: Int, grain: Int,
  _ body: @Sendable (_ range: Range<Int>, _ slice: inout MutableSpan<Element>) throws -> Void
) throws {
  precondition(rowLength > 0 && output.count % rowLength == 0, "\(output.count) elements in rows of \(rowLength)")
  let rows = output.count / rowLength
  try output.withUnsafeMutableBufferPointer { buffer in
    let view = DisjointRows(buffer)
    try parallelRanges(rows, grain: grain) { _, range in
      var slice = MutableSpan(
        _unsafeElements: UnsafeMutableBufferPointer(
          rebasing: view.buffer[range.lowerBound * rowLength..<range.upperBound * rowLength]))
      try body(range, &slice)
    }
  }
}

/// Splits bytes into rows and hands ranges of them to `body` in parallel: `slice` holds the bytes of `range` only.
public func parallelRows(
  of output: inout MutableRawSpan, rowBytes: Int, grain: Int,
  _ body: @Sendable (_ range: Range<Int>, _ slice: inout MutableRawSpan) throws -> Void
) throws {
  precondition(rowBytes > 0 && output.byteCount % rowBytes == 0, "\(output.byteCount) bytes in rows of \(rowBytes)")
  let rows = output.byteCount / rowBytes
  try output.withUnsafeMutableBytes { buffer in
    let view = DisjointRows(buffer.assumingMemoryBound(to: UInt8.self))
    try parallelRanges(rows, grain: grain) { _, range in
      var slice = MutableRawSpan(
        _unsafeBytes: UnsafeMutableRawBufferPointer(
          UnsafeMutableBufferPointer(rebasing: view.buffer[range.lowerBound * rowBytes..<range.upperBound * rowBytes])))
      try body(range, &slice)
    }
  }
}

/// A buffer that threads may share because each writes different rows.
private struct DisjointRows<Element>: @unchecked Sendable {
  let buffer: UnsafeMutableBufferPointer<Element>
  init(_ buffer: UnsafeMutableBufferPointer<Element>) { self.buffer = buffer }
}
