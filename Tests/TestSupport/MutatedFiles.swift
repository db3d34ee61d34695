import Foundation
import Tensors

#if canImport(Glibc)
  import Glibc
#endif

/// Feeds a reader with damaged copies of a good file.
///
/// Each copy is read or refused: nothing crashes, takes a second of processor time, or asks for memory that the file
/// does not justify. To be run in a process of its own (an exit test), which dies where it wants ``memory`` bytes more
/// than it had.
public struct MutatedFiles: Sendable {
  /// Bytes that the readers may allocate beyond what the process held: far above any file here, far below what a forged
  /// count asks for. Threads reserve address space of their own.
  static let memory = 512 << 20

  /// What is put in the place of a stretch, beside random bytes.
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

  /// Reads `count` damaged copies, under the name `name` in a folder of their own beside `others`.
  ///
  /// - Parameters:
  ///   - damaging: the bytes of the golden file that are damaged.
  ///   - repair: makes checksums of a damaged copy good again; used for every other copy.
  ///   - read: the reader; what it throws must satisfy `isTyped`.
  public func survive(
    _ golden: [UInt8], named name: String, others: [String: [UInt8]] = [:], count: Int = 20_000,
    damaging: Range<Int>? = nil, seed: UInt64 = 20_261_125, repair: (inout [UInt8]) -> Void = { _ in },
    isTyped: (any Error) -> Bool, read: (_ path: String, _ directory: String) throws -> Void
  ) throws {
    let directory = try TemporaryDirectory()
    for (name, bytes) in others { try Data(bytes).write(to: directory.url.appending(path: name)) }
    let path = directory.path(name)
    try Data(golden).write(to: URL(filePath: path))
    // The golden file is good, and whatever is allocated once is allocated now.
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
      let place = Int.random(in: range.lowerBound..<upper, using: &random)
      let end = min(bytes.count, place + Int.random(in: 1...16, using: &random))
      switch Int.random(in: 0..<(isText ? 9 : 7), using: &random) {
      case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2: bytes.removeSubrange(place..<end)
      case 3: bytes.insert(contentsOf: random.bytes(end - place), at: place)
      case 4: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
      case 5:
        // A stretch from elsewhere.
        let from = Int.random(in: 0..<bytes.count, using: &random)
        bytes.insert(contentsOf: Array(bytes[from..<min(bytes.count, from + 64)]), at: place)
      case 6 where !isText:
        // A count or a length of extreme size.
        for i in place..<min(bytes.count, place + 8) { bytes[i] = random.next() & 1 == 0 ? 0xFF : 0x7F }
      case 6:
        // A number of extreme size.
        let digits = bytes[place...].prefix(4096).firstIndex { (48...57).contains($0) } ?? place
        bytes.replaceSubrange(digits..<min(bytes.count, digits + 1), with: Array("99999999999".utf8))
      default:
        bytes.replaceSubrange(place..<end, with: words.randomElement(using: &random) ?? [])
      }
      if bytes.isEmpty { break }
    }
    return bytes
  }
}

/// Replaces what a file holds, which is much faster than a new file; so is one that is never empty, which some file systems
/// would bring to the disk each time.
private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileHandle(forWritingTo: URL(filePath: path))
  try file.write(contentsOf: Data(bytes))
  try file.truncate(atOffset: UInt64(bytes.count))
  try file.close()
}

/// Processor time of this process, in seconds: other work on the machine does not count.
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
