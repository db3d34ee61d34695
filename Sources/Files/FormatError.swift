/// Why the bytes of a file are not what they should be: the file, what in it (a key, a tensor, a task), the byte, and the
/// reason.
public struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Whether a file holds something wrong, or one that should be there is not.
  public enum Kind: Sendable { case data, missing }

  /// Faults for which a program may have a remedy that a library does not know of.
  public enum Topic: Sendable {
    /// A tokenizer whose splitter is unknown or not named; the caller may name one.
    case unknownSplitter
    /// The name that the caller gave is unknown.
    case misnamedSplitter
    /// The caller named a splitter where the model has none, or names it itself.
    case needlessSplitter
    /// A weight that is NaN or infinite.
    case nonFiniteWeight
  }

  public let kind: Kind
  public let topic: Topic?
  public let path: String
  /// `key general.alignment`, `tensor blk.0.attn_q.weight`; nil where the file itself is at fault.
  public let subject: String?
  /// Byte offset in the file, where there is one.
  public let offset: Int?
  public let reason: String
  /// What helps, as far as it follows from the file.
  public let hint: String?

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
