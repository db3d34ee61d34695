import Tensors

/// A model that can't be quantized as requested.
public enum QuantizeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The target is below the smallest possible file. All sizes are in bytes.
  case targetTooSmall(target: Int, smallest: Int, largest: Int)
  /// The target is below the smallest file under pins, floors and excluded types, but not below the smallest file
  /// without them.
  case constraintsTooLarge(target: Int, smallest: Int, withoutConstraints: Int)
  /// The target is above the largest possible file.
  case targetTooLarge(target: Int, smallest: Int, largest: Int)
  /// A weight is NaN or infinite. `path` is the file that contains it, if known.
  case nonFiniteWeight(tensor: String, row: Int, column: Int, path: String? = nil)
  /// A weight is beyond the range of F16.
  case beyondHalf(tensor: String, row: Int, column: Int, path: String? = nil)
  /// A tensor without importance would get a type that needs it.
  case needsImportance(tensor: String, type: GGMLType)
  /// A type can't be written, or its blocks do not fit the tensor's rows.
  case notEncodable(tensor: String, type: GGMLType)
  /// The number of importance values is not the tensor's columns times its matrices.
  case importanceOfOtherSize(tensor: String, count: Int, expected: Int)
  /// A tensor is already quantized.
  case needsRequantize(tensor: String, type: GGMLType)
  /// Another request that can't be fulfilled, as a complete message.
  case unsupported(String)
  /// A layer to remove does not exist.
  case noSuchLayer(Int, model: String)
  /// All layers would be removed.
  case noLayerLeft
  /// A row of the output differs from the encoded bytes.
  case writtenWrong(path: String, tensor: String, row: Int)

  /// One line that names file, tensor and position.
  public var description: String {
    switch self {
    case .targetTooSmall(let target, let smallest, let largest):
      "a target of \(target) bytes is too small: the smallest file has \(smallest), the largest \(largest)"
    case .constraintsTooLarge(let target, let smallest, let without):
      "a target of \(target) bytes is too small for the given pins, floors and types: the smallest file "
        + "with them has \(smallest), without them \(without)"
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
    case .needsRequantize(let tensor, let type): "tensor \(tensor): is already quantized, as \(type)"
    case .unsupported(let reason): reason
    case .noSuchLayer(let layer, let model): "\(model) has no layer \(layer)"
    case .noLayerLeft: "no layer would remain"
    case .writtenWrong(let path, let tensor, let row):
      "\(path): tensor \(tensor): row \(row) differs from the encoded bytes"
    }
  }
}
