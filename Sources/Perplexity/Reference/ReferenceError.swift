/// A stored reference that can't be read, compared or written.
public enum ReferenceError: Error, Equatable, Sendable {
  /// The file is not a reference, or is damaged. `offset` is in bytes.
  case malformed(path: String, offset: Int, reason: String)
  /// The reference has other inputs than the comparison.
  case mismatch(path: String, field: String, reference: String, given: String)
  /// llama-perplexity's format can't represent the windows.
  case notExpressible(reason: String)
}

extension ReferenceError: CustomStringConvertible {
  /// One line that names the file.
  public var description: String {
    switch self {
    case .malformed(let path, let offset, let reason): "\(path): at byte \(offset): \(reason)"
    case .mismatch(let path, let field, let reference, let given):
      "\(path): the \(field) differs: \(reference) in the reference, \(given) now"
    case .notExpressible(let reason): reason
    }
  }
}
