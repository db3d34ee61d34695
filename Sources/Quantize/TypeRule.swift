import Foundation
import Tensors

/// A pattern of tensor names, and the type of matching tensors: `REGEX=TYPE`, the notation of recipes.
///
/// The pattern may match anywhere in a name, and is case-sensitive. The type's name may be in any case.
public struct TypeRule: Sendable, Hashable, CustomStringConvertible {
  /// The pattern of tensor names.
  public let pattern: TensorPattern
  /// The type of matching tensors.
  public let type: GGMLType

  init(pattern: TensorPattern, type: GGMLType) {
    self.pattern = pattern
    self.type = type
  }

  /// Parses `REGEX=TYPE`.
  ///
  /// - Throws: ``RecipeError/badRule(rule:reason:)`` or ``RecipeError/unknownType(rule:type:)``
  public init(_ text: String) throws(RecipeError) {
    // A pattern may contain an equals sign; a type does not.
    guard let equals = text.lastIndex(of: "="), equals != text.startIndex else {
      throw .badRule(rule: text, reason: "is not REGEX=TYPE")
    }
    let name = text[text.index(after: equals)...].trimmingCharacters(in: .whitespaces)
    guard let type = GGMLType(name: name) else { throw .unknownType(rule: text, type: name) }
    self.init(pattern: try TensorPattern(String(text[..<equals])), type: type)
  }

  /// The rule in the notation `REGEX=TYPE`.
  public var description: String { "\(pattern)=\(type)" }
}

/// A regular expression for tensor names.
public struct TensorPattern: Sendable, Hashable, CustomStringConvertible {
  /// The expression.
  public let text: String
  private let expression: NSRegularExpression

  init(_ text: String) throws(RecipeError) {
    self.text = text
    do {
      expression = try NSRegularExpression(pattern: text)
    } catch {
      throw .badRule(rule: text, reason: "is not a regular expression")
    }
  }

  /// Whether the pattern matches anywhere in a name; false if the search takes too long (``search(_:)``).
  package func matches(_ name: String) -> Bool { search(name) ?? false }

  /// Whether the pattern matches anywhere in a name; nil if the search exceeds a limit that no useful pattern reaches.
  /// `(.*)*x` tries every division of a name, which would take days for 40 letters.
  func search(_ name: String) -> Bool? {
    nonisolated(unsafe) var found = false
    nonisolated(unsafe) var steps = 0
    // Called at each start position and every few thousand backtracking steps.
    expression.enumerateMatches(in: name, options: .reportProgress, range: NSRange(name.startIndex..., in: name)) {
      match, _, stop in
      found = match != nil
      steps += 1
      stop.pointee = ObjCBool(found || steps > Self.maximumSteps + name.utf16.count)
    }
    return found ? true : steps > Self.maximumSteps + name.utf16.count ? nil : false
  }

  private static let maximumSteps = 100

  /// Equality of the expressions.
  public static func == (one: TensorPattern, other: TensorPattern) -> Bool { one.text == other.text }
  /// Hashes the expression.
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }
  /// The expression.
  public var description: String { text }
}
