import Files
import GGUF
import Quantize
import Tensors
import Transformer

// The rules of resuming: states behind a layer imply that the tensors of the layers before are written, and sums of importance
// are of the layers before. All files of a group continue behind the same layer.

extension FeedbackGroup {
  /// Writes the states behind a layer, the exact ones once.
  ///
  /// - Parameters:
  ///   - kept: the snapshots of the exact stream, by file.
  ///   - rounded: the snapshots and states of the files' own streams; empty where there is one stream.
  func write(
    _ states: HiddenStates, of outputs: [Output], kept: [PassSnapshots?],
    rounded: [(kept: PassSnapshots?, states: HiddenStates)]
  ) throws {
    guard let main = kept[0] else { return }
    // Earlier states remain until all of those behind this layer are written.
    var files = [Set<String>](repeating: [], count: outputs.count)
    for (index, output) in outputs.enumerated() {
      try output.session.flush()
      if !rounded.isEmpty, let kept = rounded[index].kept {
        try kept.write(rounded[index].states, of: run.windows, by: run.pass, removesOthers: false)
        files[index].insert(kept.file(states.layer))
      }
      if let file = try output.sums?.write(behind: states.layer, of: run.windows) { files[index].insert(file) }
    }
    try main.write(states, of: run.windows, by: run.pass, removesOthers: false)
    for other in kept.dropFirst() { try other?.adopt(main, behind: states.layer) }
    for (kept, files) in zip(kept, files) { kept?.removeOthers(than: states.layer, keeping: files) }
    for output in outputs { try output.session.release(before: states.layer) }
  }

  /// The states behind the last layer that all files have come to; nil to begin again.
  ///
  /// - Parameters:
  ///   - layers: those whose tensors are written. Before them, there are neither sums nor rounded states.
  ///   - kept: the snapshots of the exact stream, by file.
  ///   - states: reads those behind a layer.
  func resumed<States>(
    _ outputs: [Output], _ layers: Range<Int>, kept: [PassSnapshots?], states: (_ layer: Int) throws -> States?
  ) throws -> States? {
    for layer in kept[0]?.layers(of: run.pass) ?? [] where outputs.allSatisfy({ $0.isWhole(before: layer) }) {
      // Kept states before the part's layers are nearer.
      if layer < layers.lowerBound, run.keptStates != nil { return nil }
      let sums = outputs.map { $0.sums?.sums(behind: layer) }
      guard layer <= layers.lowerBound || zip(outputs, sums).allSatisfy({ $0.sums == nil || $1 != nil }),
        let states = try states(layer)
      else { continue }
      for (output, sums) in zip(outputs, sums) { if let sums { output.sums?.collector.resume(from: sums) } }
      return states
    }
    return nil
  }
}
