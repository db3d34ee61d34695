/// Why a stored reference can't be used: the file, and what is wrong with it.
public enum ReferenceError: Error, Equatable, Sendable {
  /// The file is no reference, or is damaged: the byte and the reason.
  case malformed(path: String, offset: Int, reason: String)
  /// The reference was made of something else than what it is compared with.
  case mismatch(path: String, field: String, reference: String, given: String)
  /// What llama-perplexity's files can't express.
  case notExpressible(reason: String)
}

extension ReferenceError: CustomStringConvertible {
  /// One line that names the file.
  public var description: String {
    switch self {
    case .malformed(let path, let offset, let reason): "\(path): at byte \(offset): \(reason)"
    case .mismatch(let path, let field, let reference, let given):
      "\(path): the \(field) differs: \(reference) in the reference, \(given) here"
    case .notExpressible(let reason): reason
    }
  }
}
