import Foundation
import Tensors

/// A pattern over tensor names, and the type of those that match: `REGEX=TYPE`, as `--pin` and recipes write it.
///
/// The pattern may match anywhere in a name and its case is kept; a type's name may have any case.
public struct TypeRule: Sendable, Hashable, CustomStringConvertible {
  public let pattern: TensorPattern
  public let type: GGMLType

  public init(pattern: TensorPattern, type: GGMLType) {
    self.pattern = pattern
    self.type = type
  }

  /// - Throws: ``RecipeError`` with what is wrong with the rule.
  public init(_ text: String) throws(RecipeError) {
    // Patterns may hold an equals sign; types don't.
    guard let equals = text.lastIndex(of: "="), equals != text.startIndex else {
      throw .badRule(rule: text, reason: "is not REGEX=TYPE")
    }
    let name = text[text.index(after: equals)...].trimmingCharacters(in: .whitespaces)
    guard let type = GGMLType(name: name) else { throw .unknownType(rule: text, type: name) }
    self.init(pattern: try TensorPattern(String(text[..<equals])), type: type)
  }

  public var description: String { "\(pattern)=\(type)" }
}

/// A regular expression over tensor names.
public struct TensorPattern: Sendable, Hashable, CustomStringConvertible {
  public let text: String
  private let expression: NSRegularExpression

  public init(_ text: String) throws(RecipeError) {
    self.text = text
    do {
      expression = try NSRegularExpression(pattern: text)
    } catch {
      throw .badRule(rule: text, reason: "is no regular expression")
    }
  }

  /// True where the pattern matches anywhere in a name.
  public func matches(_ name: String) -> Bool {
    expression.firstMatch(in: name, range: NSRange(name.startIndex..., in: name)) != nil
  }

  public static func == (one: TensorPattern, other: TensorPattern) -> Bool { one.text == other.text }
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }
  public var description: String { text }
}
