import Foundation

/// The entry point of libFuzzer, which passes each input to the reader that QTOOL_FUZZ names.
///
/// An input may be read, or refused with an error that qtool words. Anything else ends the process, and libFuzzer stores the
/// input.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  do {
    let bytes = reader.repair(Array(UnsafeBufferPointer(start: data, count: size)))
    // Truncating or replacing the file first would cause a disk write for every input.
    let file = open(reader.file, O_WRONLY | O_CREAT, 0o600)
    guard write(file, bytes, bytes.count) == bytes.count, ftruncate(file, off_t(bytes.count)) == 0 else {
      fatalError("\(reader.file) can't be written")
    }
    close(file)
    try refusable { try reader.read() }
  } catch {
    fatalError("\(type(of: error)): \(error)")
  }
  return 0
}

private let reader: Reader = {
  let name = ProcessInfo.processInfo.environment["QTOOL_FUZZ"] ?? ""
  guard let reader = Reader.all[name] else {
    fatalError("QTOOL_FUZZ is one of \(Reader.all.keys.sorted().joined(separator: ", "))")
  }
  return reader
}()
