import Foundation
import Tensors

private let lock = NSLock()

/// Runs a test that sets or relies on the number of threads. Such tests take turns, since the number is global.
public func withFixedThreads<Result>(_ body: () throws -> Result) rethrows -> Result {
  lock.lock()
  let threads = Threads.count
  defer {
    Threads.count = threads
    lock.unlock()
  }
  return try body()
}
