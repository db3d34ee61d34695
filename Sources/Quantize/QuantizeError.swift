import Tensors

/// Why a model can't be quantized as asked.
public enum QuantizeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Bytes that were asked for, and the smallest and largest file that there can be.
  case targetTooSmall(target: Int, smallest: Int, largest: Int)
  /// The same, where it is pins, floors and excluded types that make the smallest file so large.
  case constraintsTooLarge(target: Int, smallest: Int, withoutConstraints: Int)
  case targetTooLarge(target: Int, smallest: Int, largest: Int)
  /// A weight that is not finite; the path is of the file that holds it, if known.
  case nonFiniteWeight(tensor: String, row: Int, column: Int, path: String? = nil)
  /// A weight that F16 can't hold.
  case beyondHalf(tensor: String, row: Int, column: Int, path: String? = nil)
  case needsImportance(tensor: String, type: GGMLType)
  case notEncodable(tensor: String, type: GGMLType)
  /// Importance of another size than the tensor's columns times its matrices.
  case importanceOfOtherSize(tensor: String, count: Int, expected: Int)
  case needsRequantize(tensor: String, type: GGMLType)
  case unsupported(String)
  /// A layer that is to be left out and is not there.
  case noSuchLayer(Int, model: String)
  /// All layers are to be left out.
  case noLayerLeft
  /// What stands in the output is not what was written there.
  case writtenWrong(path: String, tensor: String, row: Int)

  public var description: String {
    switch self {
    case .targetTooSmall(let target, let smallest, let largest):
      "a target of \(target) bytes is too small: the smallest file has \(smallest), the largest \(largest)"
    case .constraintsTooLarge(let target, let smallest, let without):
      "a target of \(target) bytes is too small for the pins, floors and types that were asked for: the smallest file "
        + "under them has \(smallest), without them \(without)"
    case .targetTooLarge(let target, let smallest, let largest):
      "a target of \(target) bytes is too large: the smallest file has \(smallest), the largest \(largest)"
    case .nonFiniteWeight(let tensor, let row, let column, let path):
      "\(path.map { $0 + ": " } ?? "")tensor \(tensor): the weight in row \(row), column \(column) is NaN or infinite"
    case .beyondHalf(let tensor, let row, let column, let path):
      "\(path.map { $0 + ": " } ?? "")tensor \(tensor): the weight in row \(row), column \(column) is beyond F16's largest, 65504"
    case .needsImportance(let tensor, let type): "tensor \(tensor): \(type) needs an importance matrix"
    case .notEncodable(let tensor, let type): "tensor \(tensor): rows can't be written as \(type)"
    case .importanceOfOtherSize(let tensor, let count, let expected):
      "tensor \(tensor): importance has \(count) entries where the model needs \(expected)"
    case .needsRequantize(let tensor, let type): "tensor \(tensor): is quantized already, as \(type)"
    case .unsupported(let reason): reason
    case .noSuchLayer(let layer, let model): "\(model) has no layer \(layer) to leave out"
    case .noLayerLeft: "no layer would be left"
    case .writtenWrong(let path, let tensor, let row):
      "\(path): tensor \(tensor): row \(row) does not hold what was written"
    }
  }
}
