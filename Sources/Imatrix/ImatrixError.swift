/// What is wrong with an importance matrix.
public enum ImatrixError: Error, Sendable, Equatable {
  /// The file is no importance matrix, or is damaged: what, and at which byte where that is known.
  case malformed(file: String, reason: String, offset: Int? = nil)
  /// NaN, infinity or a negative sum of squares.
  case notANumber(file: String, tensor: String)
  /// The first difference from the model it is meant for.
  case otherModel(tensor: String, reason: String)
  /// Files that can't be merged: the first tensor whose sizes differ.
  case unmergeable(tensor: String, reason: String)
}

extension ImatrixError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let file, let reason, let offset):
      "\(file): \(offset.map { "at byte \($0): " } ?? "")\(reason)"
    case .notANumber(let file, let tensor): "\(file): '\(tensor)' holds NaN, infinity or a negative sum"
    case .otherModel(let tensor, let reason): "the importance matrix is another model's: '\(tensor)' \(reason)"
    case .unmergeable(let tensor, let reason): "importance matrices of different models: '\(tensor)' \(reason)"
    }
  }

  public var hint: String? {
    switch self {
    case .malformed, .notANumber: "make it again with `qtool imatrix`"
    case .otherModel: "make one for this model with `qtool imatrix`"
    case .unmergeable: "merge only files that were made from one model"
    }
  }
}
