import Files
import GGUF
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A disk on which one read of a file fails with EIO.
public final class FailingDisk: Sendable {
  private let path: String
  private let failing: Int
  private let reads = Atomic<Int>(0)

  private init(path: String, failing: Int) {
    self.path = path
    self.failing = failing
  }

  private func read(_ file: String, _ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int, _ offset: Int)
    -> Int
  {
    if file == path, reads.add(1, ordering: .relaxed).newValue == failing {
      errno = EIO
      return -1
    }
    return pread(descriptor, buffer, count, off_t(offset))
  }

  /// The results of repeated work.
  public struct Outcome<Result> {
    public let result: Result
    public let errors: [FileError]
    public var faults: Int { errors.count }
  }

  /// Repeats work that opens and reads the file: its first read fails in the first round, its second in the second, and so
  /// on until none fails.
  ///
  /// - Throws: errors of `body`, except a `FileError`.
  public static func everyRead<Result>(of path: String, _ body: () throws -> Result) throws -> Outcome<Result> {
    var errors: [FileError] = []
    while true {
      let disk = FailingDisk(path: path, failing: errors.count + 1)
      let reading: PositionedFile.Reading = { disk.read($0, $1, $2, $3, $4) }
      do {
        let result = try PositionedFile.$reading.withValue(reading) { try body() }
        return Outcome(result: result, errors: errors)
      } catch let error as FileError {
        errors.append(error)
      }
    }
  }
}

extension MemoryModel {
  /// Writes the model as a GGUF.
  public func write(to path: String) throws {
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors), overwrite: false)
    for index in tensors.indices { try writer.copy(tensor: index, from: self) }
    try writer.commit()
  }
}
