// Models store the same number in different widths.

extension MetadataValue {
  /// The value of an integer of any width; nil where this is not an integer or exceeds `Int`.
  public var integer: Int? {
    switch self {
    case .uint8(let x): Int(x)
    case .int8(let x): Int(x)
    case .uint16(let x): Int(x)
    case .int16(let x): Int(x)
    case .uint32(let x): Int(x)
    case .int32(let x): Int(x)
    case .uint64(let x): Int(exactly: x)
    case .int64(let x): Int(x)
    case .float32, .float64, .bool, .string, .array: nil
    }
  }

  /// The value of an integer or a floating-point number; nil where this is neither.
  public var number: Double? {
    switch self {
    case .float32(let x): Double(x)
    case .float64(let x): x
    default: integer.map(Double.init)
    }
  }
}

extension MetadataArray {
  /// The elements of an array of integers of any width; nil where they are not integers or one exceeds `Int`.
  public var integers: [Int]? {
    switch self {
    case .uint8(let x): x.map(Int.init)
    case .int8(let x): x.map(Int.init)
    case .uint16(let x): x.map(Int.init)
    case .int16(let x): x.map(Int.init)
    case .uint32(let x): x.map(Int.init)
    case .int32(let x): x.map(Int.init)
    case .uint64(let x): x.allSatisfy { $0 <= Int.max } ? x.map(Int.init) : nil
    case .int64(let x): x.map(Int.init)
    case .float32, .float64, .bool, .string, .array: nil
    }
  }
}
