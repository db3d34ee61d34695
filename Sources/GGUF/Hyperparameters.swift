/// The metadata under the keys of a model's architecture: the name `block_count` means the key `qwen2.block_count`.
///
/// Integers may have any width. Each is checked against a range, so that a hostile file can't make a product overflow.
/// All accessors throw ``MetadataError`` where a value has another type or is out of range.
public struct Hyperparameters: Sendable {
  /// All keys of the model.
  package let metadata: Metadata
  /// The value of `general.architecture`.
  public let architecture: String

  /// - Throws: ``MetadataError`` where `general.architecture` is missing or not a string.
  public init(_ metadata: Metadata) throws(MetadataError) {
    self.metadata = metadata
    architecture = try metadata.string("general.architecture")
  }

  /// The key of a name: the architecture, a point and the name.
  public func key(_ name: String) -> String { "\(architecture).\(name)" }

  private func value(_ name: String) -> MetadataValue? { metadata[key(name)] }

  /// Whether the model has a value of this name.
  public func has(_ name: String) -> Bool { value(name) != nil }

  /// An integer of any width; nil where it is missing. The default range lets the product of two values fit in `Int`.
  public func optionalInt(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(MetadataError) -> Int? {
    guard let value = value(name) else { return nil }
    guard let number = value.integer else { throw MetadataError(key: key(name), "is not an integer") }
    try check(number, name, range)
    return number
  }

  /// An integer of any width.
  public func int(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(MetadataError) -> Int {
    guard let number = try optionalInt(name, in: range) else { throw .missing(key(name)) }
    return number
  }

  /// One integer, or an array with one for each layer; nil where it is missing.
  public func optionalInts(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(MetadataError) -> [Int]? {
    guard case .array(let array)? = value(name) else { return try optionalInt(name, in: range).map { [$0] } }
    guard let numbers = array.integers, !numbers.isEmpty else {
      throw MetadataError(key: key(name), "is neither an integer nor one for each layer")
    }
    for number in numbers { try check(number, name, range) }
    return numbers
  }

  /// An integer, or an array of equal integers with one for each layer.
  public func uniformInt(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(MetadataError) -> Int {
    guard let numbers = try optionalInts(name, in: range) else { throw .missing(key(name)) }
    guard numbers.allSatisfy({ $0 == numbers[0] }) else {
      throw MetadataError(key: key(name), "differs between layers, which is not supported")
    }
    return numbers[0]
  }

  /// An integer for each of `count` layers: one for all of them, or an array that has at least as many.
  public func ints(_ name: String, count: Int, in range: ClosedRange<Int> = 1...1 << 31) throws(MetadataError) -> [Int]
  {
    guard let numbers = try optionalInts(name, in: range) else { throw .missing(key(name)) }
    if case .array = value(name) {
      guard numbers.count >= count else {
        throw MetadataError(key: key(name), "has \(numbers.count) elements for \(count) layers")
      }
      return Array(numbers.prefix(count))
    }
    return Array(repeating: numbers[0], count: count)
  }

  /// A bool for each of `count` layers; nil where it is missing. An array of integers counts too, and more elements
  /// than layers.
  public func optionalBools(_ name: String, count: Int) throws(MetadataError) -> [Bool]? {
    guard let value = value(name) else { return nil }
    var flags: [Bool]?
    if case .array(let array) = value {
      if case .bool(let values) = array { flags = Array(values) } else { flags = array.integers?.map { $0 != 0 } }
    }
    guard let flags, flags.count >= count else {
      throw MetadataError(key: key(name), "is not an array of bools for \(count) layers")
    }
    return Array(flags.prefix(count))
  }

  /// A finite number of any numeric type; nil where it is missing.
  public func optionalDouble(_ name: String) throws(MetadataError) -> Double? {
    guard let value = value(name) else { return nil }
    guard let number = value.number, number.isFinite else { throw MetadataError(key: key(name), "is not a number") }
    return number
  }

  /// A finite number of any numeric type.
  public func double(_ name: String) throws(MetadataError) -> Double {
    guard let number = try optionalDouble(name) else { throw .missing(key(name)) }
    return number
  }

  /// A bool; nil where it is missing.
  public func optionalBool(_ name: String) throws(MetadataError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw MetadataError(key: key(name), "is neither true nor false") }
    return flag
  }

  /// A string; nil where it is missing.
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
