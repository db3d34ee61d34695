import Blocks
import GGUF
import Tensors

/// The part of a type's error that remains with error feedback, for the tensors that are encoded with it.
///
/// Sensitivities are measured without feedback. What an allocation compares is the error of the file, which is lower by a
/// factor: that of the type, times that of the class, as inputs of attn_output are correlated far more than those of ffn_down.
/// Tensors without feedback keep their errors. A tied head does, too: its gain as a head is its loss as an embedding.
///
/// The factors are measured at `FeedbackEffort.scales`. The default, descent, lowers the demo model's drift by a further 3 to
/// 10 % (Documentation/error-feedback.md), which is little beside the spread of a matrix's factor.
package struct FeedbackFactors: Sendable {
  /// The mean factor of a type over matrices, and its spread.
  package struct Remainder: Sendable, Equatable {
    /// eᵀHe with feedback, relative to that without, for the mean class of tensors.
    package let factor: Double
    /// Standard deviation of the factor's natural logarithm over matrices.
    package let spread: Double
  }

  /// Names of the tensors that are encoded with feedback.
  package let tensors: Set<String>

  package init(tensors: Set<String>) { self.tensors = tensors }

  /// The factor of a tensor's error in a type; 1 where nothing is fed back.
  package func factor(of tensor: TensorInfo, as type: GGMLType) -> Double {
    guard type != tensor.type, type.takesFeedback, tensors.contains(tensor.name), tensor.role != .tokenEmbedding else {
      return 1
    }
    guard let measured = Self.measured[type] else { return 1 }
    return min(1, measured.factor * (Self.classes[Self.measuredClass(of: tensor)] ?? 1))
  }

  /// The key of a tensor in ``classes``. Experts count as the dense matrices of their kind.
  private static func measuredClass(of tensor: TensorInfo) -> String {
    let name = TensorName(tensor.name).title
    for suffix in ["_exps", "_shexp"] where name.hasSuffix(suffix) { return String(name.dropLast(suffix.count)) }
    return name
  }
}
