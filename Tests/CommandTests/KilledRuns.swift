import Foundation
import Tensors
import TestSupport
import Testing

/// Kills a command at random moments and restarts it, until it has died often enough.
struct KilledRuns {
  private let qtool: Binary
  private let directory: TemporaryDirectory
  private let output: String
  private let kills: Int
  private let arguments: (_ output: String) -> [String]

  /// - Parameters:
  ///   - output: the name of the file that the command writes.
  ///   - arguments: the command that writes the named file.
  init(
    _ qtool: Binary, _ directory: TemporaryDirectory, output: String, kills: Int,
    _ arguments: @escaping (_ output: String) -> [String]
  ) {
    self.qtool = qtool
    self.directory = directory
    self.output = output
    self.kills = kills
    self.arguments = arguments
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

  /// Every run that finishes has written the bytes of an uninterrupted run, and leaves no other file.
  func survive() throws {
    let before = directory.contents
    let whole = "whole-" + output
    let began = ContinuousClock.now
    let undisturbed = try qtool.run(arguments(whole))
    #expect(undisturbed.status == 0, "\(undisturbed.error)")
    let expected = try Data(contentsOf: directory.url.appending(path: whole))
    let length = Double((ContinuousClock.now - began) / .seconds(1))
    let url = directory.url.appending(path: output)
    var random = SplitMix(seed: UInt64(20_261_125))
    var killed = 0
    var finished = 0
    for _ in 0..<8 * kills where killed < kills {
      let process = try start(arguments(output))
      Thread.sleep(forTimeInterval: Double.random(in: 0.002...max(0.01, length), using: &random))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      if process.terminationReason == .uncaughtSignal { killed += 1 } else { #expect(process.terminationStatus == 0) }
      // The file also exists if a run was killed after its last step.
      guard FileManager.default.fileExists(atPath: url.path) else { continue }
      finished += 1
      #expect(try Data(contentsOf: url) == expected)
      try FileManager.default.removeItem(at: url)
    }
    #expect(killed == kills, "\(killed) killed, \(finished) finished")
    let last = try qtool.run(arguments(output))
    #expect(last.status == 0, "\(last.error)")
    #expect(try Data(contentsOf: url) == expected)
    #expect(Set(directory.contents) == Set(before + [whole, output]), "\(directory.contents)")
  }
}
