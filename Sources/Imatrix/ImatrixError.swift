/// What is wrong with an importance matrix.
public enum ImatrixError: Error, Sendable, Equatable {
  /// The file is no importance matrix, or is damaged: what, and at which byte where that is known.
  case malformed(file: String, reason: String, offset: Int? = nil)
  /// NaN, infinity or a negative sum of squares.
  case notANumber(file: String, tensor: String)
  /// The first tensor whose width is not that of the model it is meant for.
  case otherModel(file: String, tensor: String, reason: String)
  /// No entry names a tensor of the model that it is meant for.
  case nothingFits(file: String, entries: Int, first: String, model: String)
  /// Every entry has zero calls or sums of zero.
  case empty(file: String, entries: Int)
  /// Files that can't be merged: the first tensor whose sizes differ.
  case unmergeable(tensor: String, reason: String)
}

extension ImatrixError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let file, let reason, let offset):
      "\(file): \(offset.map { "at byte \($0): " } ?? "")\(reason)"
    case .notANumber(let file, let tensor): "\(file): '\(tensor)' holds NaN, infinity or a negative sum"
    case .otherModel(let file, let tensor, let reason):
      "\(file): the importance matrix is another model's: '\(tensor)' \(reason)"
    case .nothingFits(let file, let entries, let first, let model):
      "\(file): the importance matrix is another model's: none of its \(entries) entries ('\(first)', ...) has a tensor "
        + "in \(model)"
    case .empty(let file, let entries):
      "\(file): has no importance: each of its \(entries) entries has zero calls, or sums of zero"
    case .unmergeable(let tensor, let reason): "importance matrices of different models: '\(tensor)' \(reason)"
    }
  }
}
