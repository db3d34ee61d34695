/// An importance matrix that can't be read, used or merged.
public enum ImatrixError: Error, Sendable, Equatable {
  /// The file is not an importance matrix, or is damaged. `offset` is in bytes.
  case malformed(file: String, reason: String, offset: Int? = nil)
  /// An entry holds NaN, infinity or a negative sum.
  case notANumber(file: String, tensor: String)
  /// A tensor's entry has another width than the model's tensor.
  case otherModel(file: String, tensor: String, reason: String)
  /// No entry names a tensor of the model.
  case nothingFits(file: String, entries: Int, first: String, model: String)
  /// Every entry has zero calls or sums of zero.
  case empty(file: String, entries: Int)
  /// The matrices to merge have entries of different sizes.
  case unmergeable(tensor: String, reason: String)
}

extension ImatrixError: CustomStringConvertible {
  /// One line that names the file and the tensor.
  public var description: String {
    switch self {
    case .malformed(let file, let reason, let offset):
      "\(file): \(offset.map { "at byte \($0): " } ?? "")\(reason)"
    case .notANumber(let file, let tensor): "\(file): '\(tensor)' holds NaN, infinity or a negative sum"
    case .otherModel(let file, let tensor, let reason):
      "\(file): the importance matrix is of another model: '\(tensor)' \(reason)"
    case .nothingFits(let file, let entries, let first, let model):
      "\(file): the importance matrix is of another model: none of its \(entries) entries ('\(first)', ...) has a tensor "
        + "in \(model)"
    case .empty(let file, let entries):
      "\(file): has no importance: each of its \(entries) entries has zero calls, or sums of zero"
    case .unmergeable(let tensor, let reason): "importance matrices of different models: '\(tensor)' \(reason)"
    }
  }
}
