/// What a run is made of. Two runs of equal identity make the same result.
public struct RunIdentity: Codable, Equatable, Sendable {
  /// One thing that a result depends on: what people call it, and a digest or number that tells it from others.
  public struct Field: Codable, Equatable, Sendable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
  }

  /// In the order in which differences are told.
  public let fields: [Field]

  public init(_ fields: [Field]) { self.fields = fields }

  /// The first thing in which another run differs, with its two values.
  public func difference(from other: RunIdentity) -> (field: String, mine: String, other: String)? {
    func value(_ name: String, _ run: RunIdentity) -> String {
      run.fields.first { $0.name == name }?.value ?? "none"
    }
    for field in fields + other.fields {
      let (mine, theirs) = (value(field.name, self), value(field.name, other))
      if mine != theirs { return (field.name, mine, theirs) }
    }
    return nil
  }
}

/// An unfinished run of the same output was begun with another model, text, option or version.
public struct OtherRun: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file that says so.
  public let path: String
  public let field: String
  public let there: String
  public let here: String

  public init(path: String, field: String, there: String, here: String) {
    self.path = path
    self.field = field
    self.there = there
    self.here = here
  }

  public var description: String {
    "\(path): an unfinished run had another \(field): \(there.prefix(16)), and now it is \(here.prefix(16))"
  }
}

/// An error that a person's wish to stop throws.
public protocol StopRequest: Error {}

/// The caller asked to stop at a point from which a later run goes on.
public struct Paused: Error {
  /// What the caller threw.
  public let reason: any Error

  public init(reason: any Error) { self.reason = reason }
}
