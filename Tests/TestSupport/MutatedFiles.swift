import Foundation
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// Gives a reader damaged copies of a valid file.
///
/// Each copy must be read or refused: without a crash, within a second of CPU time, and without memory that the file does
/// not justify. Run it in a separate process (an exit test), which dies if it allocates more than ``memory`` extra bytes.
public struct MutatedFiles: Sendable {
  /// Bytes that the readers may allocate in addition: far above any file here, far below the memory of a forged count.
  /// Includes the address space that threads reserve.
  static let memory = 512 << 20

  /// Replacements of a range of bytes, beside random bytes.
  private let words: [[UInt8]]
  private let isText: Bool

  public static let binary = MutatedFiles(isText: false, words: [])
  public static let json = MutatedFiles(
    isText: true,
    words: [
      "null", "true", "-1", "0", "1e400", "-9223372036854775808", "9223372036854775807", "18446744073709551616", "0.5",
      "[]", "{}", "\"\"", "\"\\ud800\"", "\"\\u0000\"", "[[[[[[", "{\"a\":", "]", "}", ",", ":", "\"", "\\",
      String(repeating: "[", count: 3000), String(repeating: "{\"a\":", count: 3000),
    ])
  public static let yaml = MutatedFiles(
    isText: true,
    words: [
      "null", "~", "-1", "1e400", "[", "]", "{", "}", "- ", ": ", "&a ", "*a", "!!binary ", "|", ">", "\n", "\t", "#",
      "'",
      "\"", "(", "[a-", "{1000000}", "(((((((((((", "%", "---\n", "...\n", String(repeating: "[", count: 3000),
    ])

  private init(isText: Bool, words: [String]) {
    self.isText = isText
    self.words = words.map { Array($0.utf8) }
  }

  /// Reads `count` damaged copies, under the name `name` in a new folder with `others`.
  ///
  /// - Parameters:
  ///   - damaging: the range of bytes of the golden file to damage.
  ///   - repair: corrects the checksums of a damaged copy; used for every other copy.
  ///   - read: the reader; its errors must satisfy `isTyped`.
  public func survive(
    _ golden: [UInt8], named name: String, others: [String: [UInt8]] = [:], count: Int = 20_000,
    damaging: Range<Int>? = nil, seed: UInt64 = 20_261_125, repair: (inout [UInt8]) -> Void = { _ in },
    isTyped: (any Error) -> Bool, read: (_ path: String, _ directory: String) throws -> Void
  ) throws {
    let directory = try TemporaryDirectory()
    for (name, bytes) in others { try Data(bytes).write(to: directory.url.appending(path: name)) }
    let path = directory.path(name)
    try Data(golden).write(to: URL(filePath: path))
    // Checks the golden file, and makes one-time allocations before the limit is set.
    try read(path, directory.url.path)
    limitMemory(more: Self.memory)
    var random = SplitMix(seed: seed)
    var refused = 0
    for number in 0..<count {
      var bytes = mutate(golden, damaging ?? 0..<golden.count, &random)
      if number % 2 == 1 { repair(&bytes) }
      try overwrite(path, bytes)
      let start = processorSeconds()
      do {
        try read(path, directory.url.path)
      } catch {
        guard isTyped(error) else { fatalError("copy \(number): untyped error \(error)") }
        refused += 1
      }
      let taken = processorSeconds() - start
      guard taken < 1 else { fatalError("copy \(number): \(taken) s") }
    }
    guard refused > count / 10 else { fatalError("only \(refused) of \(count) were refused") }
  }

  private func mutate(_ golden: [UInt8], _ range: Range<Int>, _ random: inout SplitMix) -> [UInt8] {
    var bytes = golden
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let upper = min(range.upperBound, bytes.count)
      guard range.lowerBound < upper else { break }
      let offset = Int.random(in: range.lowerBound..<upper, using: &random)
      let end = min(bytes.count, offset + Int.random(in: 1...16, using: &random))
      switch Int.random(in: 0..<(isText ? 9 : 7), using: &random) {
      case 0: bytes[offset] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2: bytes.removeSubrange(offset..<end)
      case 3: bytes.insert(contentsOf: random.bytes(end - offset), at: offset)
      case 4: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
      case 5:
        // A copy of another range.
        let from = Int.random(in: 0..<bytes.count, using: &random)
        bytes.insert(contentsOf: Array(bytes[from..<min(bytes.count, from + 64)]), at: offset)
      case 6 where !isText:
        // A count or a length of extreme size.
        for i in offset..<min(bytes.count, offset + 8) { bytes[i] = random.next() & 1 == 0 ? 0xFF : 0x7F }
      case 6:
        // A number of extreme size.
        let digits = bytes[offset...].prefix(4096).firstIndex { (48...57).contains($0) } ?? offset
        bytes.replaceSubrange(digits..<min(bytes.count, digits + 1), with: Array("99999999999".utf8))
      default:
        bytes.replaceSubrange(offset..<end, with: words.randomElement(using: &random) ?? [])
      }
      if bytes.isEmpty { break }
    }
    return bytes
  }
}

/// Overwrites a file without truncating it first. That is much faster than a new file, or one that is emptied, which some
/// file systems write to the disk each time.
private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileHandle(forWritingTo: URL(filePath: path))
  try file.write(contentsOf: Data(bytes))
  try file.truncate(atOffset: UInt64(bytes.count))
  try file.close()
}

/// CPU time of this process in seconds.
private func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Lets this process allocate `more` bytes beyond what it has mapped now. Only Linux enforces it.
public func limitMemory(more: Int) {
  #if os(Linux)
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
      let pages = text.split(separator: " ").first.flatMap({ UInt($0) })
    else { return }
    let limit = pages * UInt(sysconf(Int32(_SC_PAGESIZE))) + UInt(more)
    var bounds = rlimit(rlim_cur: limit, rlim_max: limit)
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &bounds)
  #endif
}
