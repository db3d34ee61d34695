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

  public let kind: Kind
  public let description: String
  public let hint: String?

  public init(_ kind: Kind, _ description: String, hint: String? = nil) {
    self.kind = kind
    self.description = description
    self.hint = hint
  }
}
