/// Reasons why there is no plan, with a hint.
public struct PlanError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// A request for something that does not exist.
    case usage
    /// The model's description is incomplete or contradicts itself.
    case data
    /// The model does not exist.
    case missing
    /// Nothing fits the machine.
    case unfit
  }

  /// Names for which a program may have a way out that a library does not know of.
  public enum Topic: Sendable { case machine, shape, cacheType }

  public let kind: Kind
  public let topic: Topic?
  public let description: String
  public let hint: String?

  public init(_ kind: Kind, topic: Topic? = nil, _ description: String, hint: String? = nil) {
    self.kind = kind
    self.topic = topic
    self.description = description
    self.hint = hint
  }
}
