import Blocks
import GGUF
import Tensors

/// The part of a type's error that remains with error feedback, for the tensors that are encoded with it.
///
/// Sensitivities are measured without feedback. What an allocation compares is the error of the file, which is lower by a
/// factor: that of the type, times that of the class, as inputs of attn_output are correlated far more than those of ffn_down.
/// Tensors without feedback keep their errors. A tied head is among these: what it gains as a head, it loses as an embedding.
public struct FeedbackFactors: Sendable {
  /// The mean of a type, and its spread.
  package struct Remainder: Sendable, Equatable {
    /// eᵀHe with feedback, relative to that without, for the mean class of tensors.
    package let factor: Double
    /// Standard deviation of the factor's natural logarithm over matrices.
    package let spread: Double
  }

  /// Names of the tensors that are encoded with feedback.
  public let tensors: Set<String>

  public init(tensors: Set<String>) { self.tensors = tensors }

  /// The factor of a tensor's error in a type; 1 where nothing is fed back.
  public func factor(of tensor: TensorInfo, as type: GGMLType) -> Double {
    guard type != tensor.type, type.takesFeedback, tensors.contains(tensor.name), tensor.role != .tokenEmbedding else {
      return 1
    }
    guard let measured = Self.measured[type] else { return 1 }
    return min(1, measured.factor * (Self.classes[Self.measuredClass(of: tensor)] ?? 1))
  }

  /// The class of a tensor under which ``classes`` has it: experts are like dense matrices.
  private static func measuredClass(of tensor: TensorInfo) -> String {
    let name = TensorName(tensor.name).title
    for suffix in ["_exps", "_shexp"] where name.hasSuffix(suffix) { return String(name.dropLast(suffix.count)) }
    return name
  }
}
