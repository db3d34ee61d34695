import Files
import GGUF
import Tensors

/// What a forward pass of hours leaves from time to time, so that a run which was killed goes on from there: hidden
/// states behind its last layer, and in the end its final states. They lie in files beside the output; the run's journal
/// has their SHA-256, and what does not match is not believed.
public final class PassSnapshots {
  private let journal: RunJournal
  /// Tells this pass from others of the run.
  private let name: String
  private let path: String
  private let interval: Duration
  private var last = ContinuousClock.now

  /// - Parameters:
  ///   - path: what the names of all files begin with. Nothing else may begin so.
  ///   - seconds: from one snapshot to the next.
  public init(_ journal: RunJournal, name: String = "pass", path: String, seconds: Double) {
    self.journal = journal
    self.name = name
    self.path = path
    interval = .seconds(min(seconds, 1e9))
  }

  /// True where the last snapshot is longer ago than the interval.
  public var isDue: Bool { ContinuousClock.now - last >= interval }

  private func key(_ layer: Int) -> String { "\(name), layer \(layer)" }
  private func file(_ layer: Int) -> String { "\(path)-\(layer).states.gguf" }
  private var finalKey: String { "\(name), final states" }
  private var finalFile: String { "\(path)-final.gguf" }

  /// Writes hidden states in place of what was written before.
  ///
  /// - Parameter kept: further files beside them that stay.
  public func write(
    _ states: HiddenStates, of windows: [[Int32]], by pass: ForwardPass, keeping kept: Set<String> = []
  ) throws {
    let digest = try pass.write(states, of: windows, to: file(states.layer))
    try journal.record(key(states.layer), sha256: digest)
    PrefixedFiles(path + "-").remove(except: kept.union([file(states.layer)]))
    last = .now
  }

  /// The states of the last snapshot that is whole, of the same model and text.
  public func states(
    of pass: ForwardPass, windows: [[Int32]], scored: Range<Int> = 0..<0, observer: (any ForwardObserver)? = nil
  ) throws -> HiddenStates? {
    for layer in (0...pass.decoder.layerCount).reversed() {
      guard let digest = journal.inherited[key(layer)] else { continue }
      let states = try ifReadable {
        try pass.states(from: file(layer), of: windows, scored: scored, observer: observer, sha256: digest)
      }
      if let states { return states }
    }
    return nil
  }

  /// The final states of a pass that an earlier run has finished.
  public func finished(_ pass: ForwardPass, windows: [[Int32]], scored: Range<Int>) throws -> FinalStates? {
    guard let digest = journal.inherited[finalKey] else { return nil }
    return try ifReadable { try pass.finalStates(from: finalFile, of: windows, scored: scored, sha256: digest) }
  }

  /// Runs the whole model, or what an earlier run has left to do. Two runs, one of them interrupted, give the same bits.
  ///
  /// - Parameters:
  ///   - progress: as that of ``ForwardPass/run(windows:scored:observer:resuming:progress:snapshot:)``; may pause after
  ///     every layer but the last.
  /// - Throws: `Paused`, and what running, reading and writing throw.
  public func run(
    _ pass: ForwardPass, windows: [[Int32]], scored: Range<Int>,
    progress: any RunObserver = NoObserver()
  ) throws -> FinalStates {
    let resumed = try states(of: pass, windows: windows, scored: scored)
    let result = try pass.run(
      windows: windows, scored: scored, resuming: resumed, progress: progress,
      snapshot: { states in
        try pausing(progress) { isPausing in
          if isPausing || isDue { try write(states, of: windows, by: pass) }
        }
      })
    try journal.record(finalKey, sha256: try pass.write(result, to: finalFile))
    PrefixedFiles(path + "-").remove(except: [finalFile])
    return result
  }
}

/// Asks whether to stop, does what comes before, and stops.
package func pausing(_ progress: any RunObserver, _ body: (_ isPausing: Bool) throws -> Void) throws {
  do { try progress.pause() } catch {
    try body(true)
    throw Paused(reason: error)
  }
  try body(false)
}

/// What `read` gives, or nil where the file is gone or damaged.
private func ifReadable<Value>(_ read: () throws -> Value?) throws -> Value? {
  do { return try read() } catch let error as FileError {
    guard error.operation == .open || error.code == 0 else { throw error }
    return nil
  } catch is FormatError { return nil } catch is MetadataError { return nil }
}
