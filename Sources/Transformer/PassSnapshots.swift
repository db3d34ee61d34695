import Files
import Foundation
import GGUF
import Tensors

/// Snapshots of a long forward pass, from which a killed run resumes: its hidden states from time to time, and at the
/// end its final states. They are files beside the output; the run's journal has their SHA-256, and a file that does
/// not match is ignored.
public final class PassSnapshots {
  private let journal: RunJournal
  private let name: String
  private let path: String
  private let interval: Duration
  private var last = ContinuousClock.now

  /// - Parameters:
  ///   - journal: the journal of the run.
  ///   - name: identifies the pass among the passes of the run.
  ///   - path: the beginning of the paths of all files. No other file's path may begin with it.
  ///   - seconds: the time between two snapshots.
  public init(_ journal: RunJournal, name: String = "pass", path: String, seconds: Double) {
    self.journal = journal
    self.name = name
    self.path = path
    interval = .seconds(min(seconds, 1e9))
  }

  /// Whether the time between two snapshots has passed since the last one.
  public var isDue: Bool { ContinuousClock.now - last >= interval }

  private func key(_ layer: Int) -> String { "\(name), layer \(layer)" }
  /// The file of the hidden states behind a layer.
  public func file(_ layer: Int) -> String { "\(path)-\(layer).states.gguf" }
  private var finalKey: String { "\(name), final states" }
  private var finalFile: String { "\(path)-final.gguf" }

  /// Writes hidden states and removes the files of earlier snapshots.
  ///
  /// - Parameters:
  ///   - kept: files with the snapshots' beginning that are not removed.
  ///   - removesOthers: false where the snapshot is a part of several, and earlier ones serve until all are written.
  /// - Throws: `FileError`.
  public func write(
    _ states: HiddenStates, of windows: [[Int32]], by pass: ForwardPass, keeping kept: Set<String> = [],
    removesOthers: Bool = true
  ) throws {
    let digest = try pass.write(states, of: windows, to: file(states.layer))
    try journal.record(key(states.layer), sha256: digest)
    if removesOthers { PrefixedFiles(path + "-").remove(except: kept.union([file(states.layer)])) }
    last = .now
  }

  /// Takes over the states that another run of the same text has written behind a layer, without a copy where the disk
  /// allows. Files of earlier snapshots remain.
  ///
  /// - Throws: `FileError`.
  package func adopt(_ other: PassSnapshots, behind layer: Int) throws {
    let (source, target) = (other.file(layer), file(layer))
    guard let digest = other.journal.entries[other.key(layer)] else {
      throw FileError(.open, path: source, code: ENOENT)
    }
    try? FileManager.default.removeItem(atPath: target)
    do { try FileManager.default.linkItem(atPath: source, toPath: target) } catch {
      do { try FileManager.default.copyItem(atPath: source, toPath: target) } catch let error as CocoaError {
        throw FileError(.write, path: target, code: error.code == .fileWriteOutOfSpace ? ENOSPC : EIO)
      }
    }
    try journal.record(key(layer), sha256: digest)
    last = .now
  }

  /// Removes the files of earlier snapshots, when all parts of the one behind a layer are written.
  package func removeOthers(than layer: Int, keeping kept: Set<String>) {
    PrefixedFiles(path + "-").remove(except: kept.union([file(layer)]))
  }

  /// The layers behind which an earlier run wrote states, from the last to the first.
  public func layers(of pass: ForwardPass) -> [Int] {
    (0...pass.decoder.layerCount).reversed().filter { journal.inherited[key($0)] != nil }
  }

  /// The hidden states of the last complete snapshot of the same model and text; nil without one.
  public func states(
    of pass: ForwardPass, windows: [[Int32]], scored: Range<Int> = 0..<0, observer: (any ForwardObserver)? = nil
  ) throws -> HiddenStates? {
    for layer in layers(of: pass) {
      if let states = try states(behind: layer, of: pass, windows: windows, scored: scored, observer: observer) {
        return states
      }
    }
    return nil
  }

  /// The hidden states behind a layer; nil without a complete snapshot of the same model and text.
  public func states(
    behind layer: Int, of pass: ForwardPass, windows: [[Int32]], scored: Range<Int> = 0..<0,
    observer: (any ForwardObserver)? = nil
  ) throws -> HiddenStates? {
    guard let digest = journal.inherited[key(layer)] else { return nil }
    return try ifReadable {
      try pass.states(from: file(layer), of: windows, scored: scored, observer: observer, sha256: digest)
    }
  }

  /// The final states of a pass that an earlier run finished; nil where it did not.
  public func finished(_ pass: ForwardPass, windows: [[Int32]], scored: Range<Int>) throws -> FinalStates? {
    guard let digest = journal.inherited[finalKey] else { return nil }
    return try ifReadable { try pass.finalStates(from: finalFile, of: windows, scored: scored, sha256: digest) }
  }

  /// Runs the whole model, or the layers that an earlier run left. An interruption does not change the results.
  ///
  /// - Parameters:
  ///   - pass: the forward pass.
  ///   - windows: token ids, all windows of one length.
  ///   - scored: the positions of every window whose final states are kept.
  ///   - progress: its steps are layers; it may pause after every layer except the last.
  /// - Throws: `Paused`, and errors of ``ForwardPass/run(windows:scored:observer:resuming:progress:snapshot:)`` and of
  ///   the
  ///   files.
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

/// Asks the observer whether to pause, calls `body` with the answer, and then throws `Paused` if so.
package func pausing(_ progress: any RunObserver, _ body: (_ isPausing: Bool) throws -> Void) throws {
  do { try progress.pause() } catch {
    try body(true)
    throw Paused(reason: error)
  }
  try body(false)
}

/// The result of `read`; nil where the file is missing or damaged.
private func ifReadable<Value>(_ read: () throws -> Value?) throws -> Value? {
  do { return try read() } catch let error as FileError {
    guard error.operation == .open || error.code == 0 else { throw error }
    return nil
  } catch is FormatError { return nil } catch is MetadataError { return nil }
}
