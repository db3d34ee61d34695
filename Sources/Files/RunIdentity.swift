/// The inputs of a run. Two runs of equal identity have the same result.
public struct RunIdentity: Codable, Equatable, Sendable {
  /// An input that the result depends on.
  public struct Field: Codable, Equatable, Sendable {
    let name: String
    let value: String

    /// - Parameters:
    ///   - name: the input's name in messages.
    ///   - value: a digest or number that identifies it.
    public init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
  }

  let fields: [Field]

  /// - Parameter fields: the inputs; the first that differs is reported.
  public init(_ fields: [Field]) { self.fields = fields }

  /// The first field in which another run differs, with both values.
  func difference(from other: RunIdentity) -> (field: String, mine: String, other: String)? {
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

/// An unfinished run of the same output had another model, text, option or version.
public struct OtherRun: Error, Equatable, Sendable, CustomStringConvertible {
  /// The journal of the unfinished run.
  let path: String
  /// The name of the first input that differs.
  let field: String
  /// The field's value in the journal.
  let recorded: String
  /// The field's value in this run.
  let current: String

  public var description: String {
    "\(path): an unfinished run had another \(field): \(recorded.prefix(16)) instead of \(current.prefix(16))"
  }
}

/// An error that a person's request to stop throws.
public protocol StopRequest: Error {}

/// The run stopped on request, at a point from which a later run can continue.
public struct Paused: Error {
  /// The error that requested the stop.
  public let reason: any Error

  /// - Parameter reason: the error that requested the stop.
  public init(reason: any Error) { self.reason = reason }
}
