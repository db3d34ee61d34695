import GGUF
import Tensors

/// Reads hyperparameters and looks up tensors. A missing or wrong key or tensor is a ``ForwardError``.
struct ModelReader {
  let source: any ModelSource
  private let hyperparameters: Hyperparameters

  init(_ source: any ModelSource) throws(ForwardError) {
    self.source = source
    do { hyperparameters = try Hyperparameters(source.metadata) } catch { throw ForwardError(error) }
  }

  var architecture: String { hyperparameters.architecture }

  /// The key of a name: the architecture, a point and the name.
  func key(_ name: String) -> String { hyperparameters.key(name) }

  func has(_ name: String) -> Bool { hyperparameters.has(name) }

  func int(_ name: String, in range: ClosedRange<Int> = 1...1 << 31) throws(ForwardError) -> Int {
    do { return try hyperparameters.int(name, in: range) } catch { throw ForwardError(error) }
  }

  func optionalInt(_ name: String, in range: ClosedRange<Int> = 0...1 << 31) throws(ForwardError) -> Int? {
    do { return try hyperparameters.optionalInt(name, in: range) } catch { throw ForwardError(error) }
  }

  func uniformInt(_ name: String) throws(ForwardError) -> Int {
    do { return try hyperparameters.uniformInt(name) } catch { throw ForwardError(error) }
  }

  func ints(_ name: String, count: Int, in range: ClosedRange<Int> = 1...1 << 31) throws(ForwardError) -> [Int] {
    do { return try hyperparameters.ints(name, count: count, in: range) } catch { throw ForwardError(error) }
  }

  func optionalBools(_ name: String, count: Int) throws(ForwardError) -> [Bool]? {
    do { return try hyperparameters.optionalBools(name, count: count) } catch { throw ForwardError(error) }
  }

  func optionalDouble(_ name: String) throws(ForwardError) -> Double? {
    do { return try hyperparameters.optionalDouble(name) } catch { throw ForwardError(error) }
  }

  func double(_ name: String) throws(ForwardError) -> Double {
    do { return try hyperparameters.double(name) } catch { throw ForwardError(error) }
  }

  func optionalBool(_ name: String) throws(ForwardError) -> Bool? {
    do { return try hyperparameters.optionalBool(name) } catch { throw ForwardError(error) }
  }

  func optionalString(_ name: String) throws(ForwardError) -> String? {
    do { return try hyperparameters.optionalString(name) } catch { throw ForwardError(error) }
  }

  /// A weight tensor of given dimensions; nil where the model does not have it.
  func optional(_ name: String, _ dimensions: [Int]) throws(ForwardError) -> TensorInfo? {
    guard let tensor = source.tensor(named: name) else { return nil }
    // Trailing dimensions of 1 are ignored.
    var found = tensor.shape.dimensions
    while found.count > dimensions.count, found.last == 1 { found.removeLast() }
    guard found == dimensions else {
      throw .wrongShape(tensor: name, found: "\(tensor.shape)", expected: "\(dimensions)")
    }
    guard !tensor.type.isInteger else { throw .integers(tensor: name, type: tensor.type) }
    return tensor
  }

  /// A weight tensor of given dimensions.
  func tensor(_ name: String, _ dimensions: [Int]) throws(ForwardError) -> TensorInfo {
    guard let tensor = try optional(name, dimensions) else { throw .missingTensor(name) }
    return tensor
  }

  /// `<name>.weight` [inputs, outputs] with the optional `<name>.bias` [outputs].
  func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws(ForwardError) -> Linear {
    Linear(
      weight: try tensor(name + ".weight", [inputs, outputs]), bias: try optional(name + ".bias", [outputs]))
  }
}

extension ForwardError {
  init(_ error: MetadataError) {
    self = error.isMissing ? .missingKey(error.key) : .invalidKey(error.key, reason: error.reason)
  }
}
