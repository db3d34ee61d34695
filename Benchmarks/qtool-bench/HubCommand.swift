import ArgumentParser
import Files
import Foundation
import Hub

/// Benchmarks of reading a model of the hub, without converting it.
struct HubCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hub",
    abstract: "Read the weights of a model of the hub from end to end, and print the seconds that it took.",
    discussion: """
      Files are read one after the other, in pieces of the given size. The environment is that of qtool: HF_ENDPOINT \
      and HF_TOKEN. Scripts/bench-hub runs it beside curl.
      """)

  @Argument(help: "The model, such as hf:ORG/MODEL.") var model: String
  @Option(help: "Bytes of a read.") var piece = 16 << 20

  func run() throws {
    let hub = try Hub(HubClient(HubSettings()))
    let folder = try hub.open(HubReference(model)).path
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".safetensors") }
    var buffer = [UInt8](repeating: 1, count: piece)
    let start = ContinuousClock.now
    var total = 0
    for name in files.sorted() {
      let file = try PositionedFile(path: "\(folder)/\(name)")
      for offset in stride(from: 0, to: file.size, by: piece) {
        var span = buffer.mutableSpan
        var bytes = span.mutableBytes
        var part = bytes._mutatingExtracting(0..<min(piece, file.size - offset))
        try file.read(into: &part, at: offset)
      }
      total += file.size
    }
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    print(String(format: "%d bytes, %.3f s", total, seconds))
  }
}
