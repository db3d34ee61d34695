import Foundation

/// Runs the built `qtool` as a user would.
public struct Binary: Sendable {
  public struct Result: Sendable {
    public let status: Int32
    public let output: String
    public let error: String
  }

  public let url: URL

  /// - Parameter bundle: the test target's bundle, in the folder of the binary.
  public init(beside bundle: Bundle) {
    url = bundle.bundleURL.deletingLastPathComponent().appending(path: "qtool")
  }

  /// Another program.
  public init(url: URL) { self.url = url }

  /// - Parameter interruptAfter: seconds until the process gets a SIGINT, as from Ctrl-C.
  public func run(
    _ arguments: [String], environment: [String: String] = [:], interruptAfter: Double? = nil
  ) throws -> Result {
    try run(arguments, environment: environment, signal: SIGINT, after: interruptAfter)
  }

  /// - Parameter after: seconds until the process gets a signal; nil for none.
  public func run(
    _ arguments: [String], environment: [String: String] = [:], signal: Int32, after seconds: Double?
  ) throws -> Result {
    let process = Process()
    process.executableURL = url
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files rather than pipes: output of any length can't block the process.
    let directory = try TemporaryDirectory()
    let files = try ["out", "err"].map { name in
      _ = FileManager.default.createFile(atPath: directory.path(name), contents: nil)
      return try FileHandle(forWritingTo: directory.url.appending(path: name))
    }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = files[0]
    process.standardError = files[1]
    try process.run()
    if let seconds {
      Thread.sleep(forTimeInterval: seconds)
      if process.isRunning { kill(process.processIdentifier, signal) }
    }
    process.waitUntilExit()
    func text(_ name: String) throws -> String {
      String(decoding: try Data(contentsOf: directory.url.appending(path: name)), as: UTF8.self)
    }
    return Result(status: process.terminationStatus, output: try text("out"), error: try text("err"))
  }
}
