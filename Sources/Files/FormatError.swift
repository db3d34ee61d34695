/// A fault in the content of a file: the file, the faulty key, tensor or task, the byte, and the reason.
public struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Wrong data, or a missing file.
  public enum Kind: Sendable { case data, missing }

  /// Faults for which the program has advice.
  public enum Topic: Sendable {
    /// The tokenizer's splitter is unknown or not named; the caller may name it.
    case unknownSplitter
    /// The caller named an unknown splitter.
    case misnamedSplitter
    /// The caller named a splitter, but the model has none or names it.
    case needlessSplitter
    /// A weight is NaN or infinite.
    case nonFiniteWeight
  }

  /// Wrong data, or a missing file.
  public let kind: Kind
  /// The topic of the program's advice; nil where it has none.
  public let topic: Topic?
  /// The path of the file.
  public let path: String
  /// The faulty part: `key general.alignment`, `tensor blk.0.attn_q.weight`; nil for the whole file.
  public let subject: String?
  /// Byte offset in the file, where the fault has one.
  public let offset: Int?
  /// The fault, as a predicate of the subject: `appears twice`.
  public let reason: String
  /// Advice that follows from the file alone.
  public let hint: String?

  /// - Parameters:
  ///   - subject: the faulty key, tensor or line; nil for the whole file.
  ///   - reason: the fault, as a predicate of the subject.
  ///   - hint: advice that follows from the file alone.
  public init(
    _ kind: Kind = .data, topic: Topic? = nil, path: String, subject: String? = nil, offset: Int? = nil,
    _ reason: String, hint: String? = nil
  ) {
    self.kind = kind
    self.topic = topic
    self.path = path
    self.subject = subject
    self.offset = offset
    self.reason = reason
    self.hint = hint
  }

  public var description: String {
    var text = path
    if let offset { text += ": at byte \(offset)" }
    if let subject { text += ": \(subject)" }
    return text + ": " + reason
  }
}
