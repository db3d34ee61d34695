/// Why there is no plan: what is wrong, and what would help.
public struct PlanError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The command asks for what there isn't.
    case usage
    /// The model's description lacks something or contradicts itself.
    case data
    /// There is no such model.
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
