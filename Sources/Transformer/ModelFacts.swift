import GGUF
import Tensors

/// Reads hyperparameters and finds tensors by GGUF's names, with an error that names what is missing or wrong.
struct ModelFacts {
  let source: any ModelSource
  let architecture: String

  init(_ source: any ModelSource) throws(ForwardError) {
    self.source = source
    guard let value = source.metadata["general.architecture"] else { throw .missingKey("general.architecture") }
    guard case .string(let name) = value else { throw .invalidKey("general.architecture", reason: "is no string") }
    architecture = name
  }

  /// The key with the architecture in front.
  func key(_ name: String) -> String { "\(architecture).\(name)" }

  private func value(_ name: String) -> MetadataValue? { source.metadata[key(name)] }

  /// A count between 1 and 2^31, so that products of two fit.
  func int(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(ForwardError) -> Int {
    guard let found = try optionalInt(name, in: range) else { throw .missingKey(key(name)) }
    return found
  }

  func optionalInt(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(ForwardError) -> Int? {
    guard let value = value(name) else { return nil }
    guard let number = value.wholeNumber else { throw .invalidKey(key(name), reason: "is no whole number") }
    guard range.contains(number) else {
      throw .invalidKey(key(name), reason: "is \(number), outside \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A number that may be given per layer; all layers have to agree.
  func uniformInt(_ name: String) throws(ForwardError) -> Int {
    guard case .array(let array)? = value(name) else { return try int(name) }
    guard let numbers = array.wholeNumbers, let first = numbers.first, numbers.allSatisfy({ $0 == first }) else {
      throw .invalidKey(key(name), reason: "differs between layers, which is not supported")
    }
    guard (1...1 << 31).contains(first) else { throw .invalidKey(key(name), reason: "is \(first)") }
    return first
  }

  func optionalDouble(_ name: String) throws(ForwardError) -> Double? {
    guard let value = value(name) else { return nil }
    guard let number = value.number, number.isFinite else { throw .invalidKey(key(name), reason: "is no number") }
    return number
  }

  func double(_ name: String) throws(ForwardError) -> Double {
    guard let found = try optionalDouble(name) else { throw .missingKey(key(name)) }
    return found
  }

  func optionalBool(_ name: String) throws(ForwardError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw .invalidKey(key(name), reason: "is neither true nor false") }
    return flag
  }

  func optionalString(_ name: String) throws(ForwardError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let string) = value else { throw .invalidKey(key(name), reason: "is no string") }
    return string
  }

  func optional(_ name: String, _ dimensions: [Int]) throws(ForwardError) -> TensorInfo? {
    guard let tensor = source.tensor(named: name) else { return nil }
    // A trailing dimension of 1 says nothing.
    var found = tensor.shape.dimensions
    while found.count > dimensions.count, found.last == 1 { found.removeLast() }
    guard found == dimensions else {
      throw .wrongShape(tensor: name, found: "\(tensor.shape)", expected: "\(dimensions)")
    }
    return tensor
  }

  func tensor(_ name: String, _ dimensions: [Int]) throws(ForwardError) -> TensorInfo {
    guard let tensor = try optional(name, dimensions) else { throw .missingTensor(name) }
    return tensor
  }

  /// `<name>.weight` [inputs, outputs] and, where the model has it, `<name>.bias`.
  func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws(ForwardError) -> Linear {
    Linear(
      weight: try tensor(name + ".weight", [inputs, outputs]), bias: try optional(name + ".bias", [outputs]))
  }
}

extension MetadataValue {
  var wholeNumber: Int? {
    switch self {
    case .uint8(let v): Int(v)
    case .int8(let v): Int(v)
    case .uint16(let v): Int(v)
    case .int16(let v): Int(v)
    case .uint32(let v): Int(v)
    case .int32(let v): Int(v)
    case .uint64(let v): Int(exactly: v)
    case .int64(let v): Int(v)
    default: nil
    }
  }

  var number: Double? {
    switch self {
    case .float32(let v): Double(v)
    case .float64(let v): v
    default: wholeNumber.map(Double.init)
    }
  }
}

extension MetadataArray {
  var wholeNumbers: [Int]? {
    switch self {
    case .uint8(let v): v.map(Int.init)
    case .int8(let v): v.map(Int.init)
    case .uint16(let v): v.map(Int.init)
    case .int16(let v): v.map(Int.init)
    case .uint32(let v): v.map(Int.init)
    case .int32(let v): v.map(Int.init)
    case .int64(let v): v.map(Int.init)
    case .uint64(let v): v.allSatisfy { $0 <= Int.max } ? v.map(Int.init) : nil
    default: nil
    }
  }

  var count: Int? {
    if case .string(let strings) = self { return strings.count }
    return wholeNumbers?.count
  }
}
