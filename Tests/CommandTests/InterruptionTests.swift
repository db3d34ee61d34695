import Foundation
import TestSupport
import Testing

/// Kills and interrupts the binary, and runs it again.
@Suite struct InterruptionTests {
  private let qtool = Binary(beside: Bundle.module)
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func arguments(_ output: String) -> [String] {
    [
      "quantize", Repository.demoModel, "--type", "Q4_K_M", "-o", directory.path(output), "--quiet",
    ]
  }

  private func start(_ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = qtool.url
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  /// SIGKILL at random moments until fifty runs have died; every run that ends has written the same bytes.
  @Test func killedRunsEndInTheSameBytes() throws {
    let began = ContinuousClock.now
    #expect(try qtool.run(arguments("whole.gguf")).status == 0)
    let whole = try Data(contentsOf: directory.url.appending(path: "whole.gguf"))
    let length = ContinuousClock.now - began
    var random = SplitMix64(seed: UInt64(20_261_125))
    var killed = 0
    var finished = 0
    for _ in 0..<400 where killed < 50 {
      let process = try start(arguments("out.gguf"))
      Thread.sleep(forTimeInterval: Double.random(in: 0.002...max(0.01, length.inSeconds), using: &random))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      if process.terminationReason == .uncaughtSignal { killed += 1 }
      guard FileManager.default.fileExists(atPath: directory.path("out.gguf")) else { continue }
      finished += 1
      #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
      try FileManager.default.removeItem(atPath: directory.path("out.gguf"))
    }
    #expect(killed == 50, "\(killed) killed, \(finished) finished")
    #expect(try qtool.run(arguments("out.gguf")).status == 0)
    #expect(try Data(contentsOf: directory.url.appending(path: "out.gguf")) == whole)
    #expect(directory.contents == ["out.gguf", "whole.gguf"])
  }

  /// Ctrl-C ends with 130 and says how to go on; another source or mix is refused, `--restart` begins anew.
  @Test func interruptedRunSaysHowToGoOn() throws {
    var interrupted: Binary.Result?
    for delay in stride(from: 0.02, to: 0.6, by: 0.01) where interrupted == nil {
      let result = try qtool.run(arguments("out.gguf"), interruptAfter: delay)
      if result.status == 130 && result.error.contains("go on with") {
        interrupted = result
      } else {
        try? FileManager.default.removeItem(atPath: directory.path("out.gguf"))
      }
    }
    let result = try #require(interrupted)
    #expect(result.error.contains("--type Q4_K_M"))
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])

    var other = arguments("out.gguf")
    other[other.firstIndex(of: "Q4_K_M")!] = "Q5_K_M"
    let refused = try qtool.run(other)
    #expect(refused.status == 65)
    #expect(refused.error.contains("recipe") && refused.error.contains("--restart"))
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])

    #expect(try qtool.run(other + ["--restart"]).status == 0)
    #expect(directory.contents == ["out.gguf"])
  }

  @Test func verifyNamesTheFirstBadBlock() throws {
    #expect(try qtool.run(arguments("out.gguf") + ["--checksums"]).status == 0)
    #expect(directory.contents == ["out.gguf", "out.gguf.sha256"])
    let good = try qtool.run(["verify", directory.path("out.gguf"), "--quiet"])
    #expect(good.status == 0 && good.output.contains("checksums match"), "\(good.error)")

    let url = directory.url.appending(path: "out.gguf")
    var data = try Data(contentsOf: url)
    // Some block of the last quarter loses a bit.
    data[data.count * 3 / 4] ^= 4
    try data.write(to: url)
    let bad = try qtool.run(["verify", directory.path("out.gguf"), "--quiet"])
    #expect(bad.status == 65 && bad.error.contains("out.gguf: at byte ") && bad.error.contains("tensor "))
  }

  @Test func outputThatIsAnInputIsRefused() throws {
    #expect(try qtool.run(["convert", Repository.demoModel, "-o", directory.path("a.gguf"), "--quiet"]).status == 0)
    let before = try Data(contentsOf: directory.url.appending(path: "a.gguf"))
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("b.gguf"), withDestinationPath: directory.path("a.gguf"))
    for name in ["a.gguf", "b.gguf"] {
      let result = try qtool.run([
        "quantize", directory.path("a.gguf"), "--type", "Q4_K_M", "-o", directory.path(name), "--force", "--quiet",
      ])
      #expect(result.status == 64 && result.error.contains("is an input too"), "\(result.error)")
    }
    #expect(try Data(contentsOf: directory.url.appending(path: "a.gguf")) == before)
  }
}

extension Duration {
  fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
