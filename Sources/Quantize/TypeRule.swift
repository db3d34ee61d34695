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

  /// True where the pattern matches anywhere in a name; where it can't be told (``search(_:)``), it doesn't.
  public func matches(_ name: String) -> Bool { search(name) ?? false }

  /// Whether the pattern matches anywhere in a name; nil where that takes longer than any pattern that means something:
  /// `(.*)*x` tries each way to divide a name, and names of 40 letters would take days.
  func search(_ name: String) -> Bool? {
    nonisolated(unsafe) var found = false
    nonisolated(unsafe) var steps = 0
    // Once for each place where a match may begin, and for some thousand ways that were tried there.
    expression.enumerateMatches(in: name, options: .reportProgress, range: NSRange(name.startIndex..., in: name)) {
      match, _, stop in
      found = match != nil
      steps += 1
      stop.pointee = ObjCBool(found || steps > Self.mostSteps + name.utf16.count)
    }
    return found ? true : steps > Self.mostSteps + name.utf16.count ? nil : false
  }

  private static let mostSteps = 100

  public static func == (one: TensorPattern, other: TensorPattern) -> Bool { one.text == other.text }
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }
  public var description: String { text }
}
