import Files
import GGUF
import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A disk on which one read of a file fails, as a dying one does: with EIO.
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

  /// What came of doing something again and again.
  public struct Outcome<Result> {
    public let result: Result
    public let errors: [FileError]
    public var faults: Int { errors.count }
  }

  /// Does something again and again, which opens and reads the file: the first time its first read fails, the next time
  /// its second, until none does.
  ///
  /// - Throws: what `body` throws, unless it is a `FileError`.
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
