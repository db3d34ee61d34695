/// Kept states that can't be used.
public enum KeptStatesError: Error, Sendable, Equatable {
  /// A file of another run: the first input that differs.
  case other(path: String, field: String, value: String, expected: String)
  /// A file that has changed since it was written.
  case damaged(path: String, reason: String, origin: KeptStates.Origin?)
  /// Windows without states before a layer that other windows have, and the run that makes them.
  case missing(folder: String, layer: Int, windows: Range<Int>, of: Int, origin: KeptStates.Origin?)
  /// No states before a layer, but before others.
  case noLayer(folder: String, layer: Int, kept: [Int])
  /// Layers of the model use more than the hidden states.
  case carried(model: String)
}

extension KeptStatesError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .other(let path, let field, let value, let expected):
      "\(path): holds states of another run: \(field) is \(value.prefix(16)), not \(expected.prefix(16))"
    case .damaged(let path, let reason, _): "\(path): \(reason)"
    case .missing(let folder, let layer, let windows, let count, _):
      "\(folder): states before layer \(layer) are missing for "
        + (windows.count == 1
          ? "window \(windows.lowerBound) of \(count)"
          : "windows \(windows.lowerBound) to \(windows.upperBound - 1) of \(count)")
    case .noLayer(let folder, let layer, let kept):
      "\(folder): has no states before layer \(layer)"
        + (kept.isEmpty ? "" : ", only before \(kept.map(String.init).joined(separator: ", "))")
    case .carried(let model):
      "\(model): layers use the keys, values or inputs of others, so that hidden states alone can't be kept"
    }
  }
}
