import Foundation
import Tensors

private let lock = NSLock()

/// Runs a test that sets the number of threads, or counts on it: tests run side by side, and the number is the process's.
public func withFixedThreads<Result>(_ body: () throws -> Result) rethrows -> Result {
  lock.lock()
  let threads = Threads.count
  defer {
    Threads.count = threads
    lock.unlock()
  }
  return try body()
}
