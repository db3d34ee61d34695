import Files
import Tensors
import TestSupport
import Testing
import Transformer

/// Keys and values that layers share, and inputs of every layer that are embedded from tokens.
@Suite(.serialized) struct CarriedStatesTests {
  private let scored = 3..<20

  /// Stops at a layer.
  private final class Stop: RunObserver {
    struct Request: StopRequest {}
    private let layer: Int
    private var layers = 0

    init(layer: Int) { self.layer = layer }

    func advance(_ progress: RunProgress) {}

    func pause() throws {
      layers += 1
      if layers == layer { throw Request() }
    }
  }

  @Test(arguments: 1...5) func areKeptForAResumedRun(layer: Int) throws {
    let golden = try Golden("gemma4-shared")
    let pass = try ForwardPass(source: golden.model)
    let expected = try allLogits(pass.run(windows: golden.windows, scored: scored))
    let directory = try TemporaryDirectory()
    let identity = RunIdentity([.init("model", "gemma4-shared")])
    func run(_ progress: any RunObserver) throws -> FinalStates {
      let journal = try RunJournal(output: directory.path("out"), identity: identity, restart: false)
      let snapshots = PassSnapshots(journal, path: directory.path("out.pass"), seconds: 1e9)
      if progress is NoObserver {
        // The states are from the file, not computed anew.
        #expect(try snapshots.states(of: pass, windows: golden.windows)?.layer == layer)
      }
      return try snapshots.run(pass, windows: golden.windows, scored: scored, progress: progress)
    }
    #expect(throws: Paused.self) { _ = try run(Stop(layer: layer)) }
    #expect(try allLogits(run(NoObserver())) == expected)
  }

  @Test(arguments: ["gemma3", "gemma4", "gemma4-moe", "gemma4-shared"])
  func areKeptForEveryVariant(name: String) throws {
    let golden = try Golden(name)
    let pass = try ForwardPass(source: golden.model)
    let expected = try allLogits(pass.run(windows: golden.windows, scored: scored))
    let embedded = try pass.embed(golden.windows, copies: 2)
    var states = [embedded, embedded]
    for layer in 0..<pass.decoder.layerCount { try pass.layer(layer, &states) }
    for state in states { #expect(try allLogits(pass.finish(state, scored: scored)) == expected) }
  }
}
