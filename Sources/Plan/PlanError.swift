/// Reasons why there is no plan, with a hint.
public struct PlanError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of an error, which decides the exit code.
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

  /// Errors for which the program has advice.
  public enum Topic: Sendable { case machine, shape, cacheType }

  /// The kind of the error.
  public let kind: Kind
  /// The topic of the program's advice; nil where it has none.
  public let topic: Topic?
  public let description: String
  /// Advice for the person who asked for the plan.
  public let hint: String?

  /// - Parameters:
  ///   - topic: set where the program has advice.
  ///   - description: one line that names the model, the key or the machine.
  ///   - hint: advice for a person.
  public init(_ kind: Kind, topic: Topic? = nil, _ description: String, hint: String? = nil) {
    self.kind = kind
    self.topic = topic
    self.description = description
    self.hint = hint
  }
}
