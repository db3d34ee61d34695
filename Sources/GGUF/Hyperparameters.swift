/// The numbers of a model's metadata under the keys of its architecture: `block_count` is `qwen2.block_count`.
///
/// Integers may have any width, as a scalar and as an array with one for each layer. Values are checked against a range
/// before anyone multiplies them.
public struct Hyperparameters: Sendable {
  public let metadata: Metadata
  /// `general.architecture`
  public let architecture: String

  public init(_ metadata: Metadata) throws(MetadataError) {
    self.metadata = metadata
    architecture = try metadata.string("general.architecture")
  }

  /// The key with the architecture in front.
  public func key(_ name: String) -> String { "\(architecture).\(name)" }

  private func value(_ name: String) -> MetadataValue? { metadata[key(name)] }

  public func has(_ name: String) -> Bool { value(name) != nil }

  /// By default counts up to 2^31, so that products of two fit.
  public func optionalInt(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(MetadataError) -> Int? {
    guard let value = value(name) else { return nil }
    guard let number = value.integer else { throw MetadataError(key: key(name), "is not an integer") }
    try check(number, name, range)
    return number
  }

  public func int(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(MetadataError) -> Int {
    guard let number = try optionalInt(name, in: range) else { throw .missing(key(name)) }
    return number
  }

  /// One number for all layers, or one for each.
  public func optionalInts(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(MetadataError) -> [Int]? {
    guard case .array(let array)? = value(name) else { return try optionalInt(name, in: range).map { [$0] } }
    guard let numbers = array.integers, !numbers.isEmpty else {
      throw MetadataError(key: key(name), "is neither an integer nor one for each layer")
    }
    for number in numbers { try check(number, name, range) }
    return numbers
  }

  /// A number that may be given for each layer; all layers have to agree.
  public func uniformInt(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(MetadataError) -> Int {
    guard let numbers = try optionalInts(name, in: range) else { throw .missing(key(name)) }
    guard numbers.allSatisfy({ $0 == numbers[0] }) else {
      throw MetadataError(key: key(name), "differs between layers, which is not supported")
    }
    return numbers[0]
  }

  /// A finite number of any type.
  public func optionalDouble(_ name: String) throws(MetadataError) -> Double? {
    guard let value = value(name) else { return nil }
    guard let number = value.number, number.isFinite else { throw MetadataError(key: key(name), "is not a number") }
    return number
  }

  public func double(_ name: String) throws(MetadataError) -> Double {
    guard let number = try optionalDouble(name) else { throw .missing(key(name)) }
    return number
  }

  public func optionalBool(_ name: String) throws(MetadataError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw MetadataError(key: key(name), "is neither true nor false") }
    return flag
  }

  public func optionalString(_ name: String) throws(MetadataError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let string) = value else { throw MetadataError(key: key(name), "is not a string") }
    return string
  }

  private func check(_ number: Int, _ name: String, _ range: ClosedRange<Int>) throws(MetadataError) {
    guard range.contains(number) else {
      throw MetadataError(key: key(name), "is \(number), outside \(range.lowerBound) to \(range.upperBound)")
    }
  }
}
