import Foundation
import GGUF

/// All keys of a model but the tokenizer's.
///
/// - Parameter directory: where sampling defaults and the model card lie; nil for none.
func modelMetadata(
  _ architecture: String, name: String, _ tensors: [TensorInfo], _ hyperparameters: Metadata, directory: String? = nil
) throws -> Metadata {
  var metadata: Metadata = [
    "general.architecture": .string(architecture),
    "general.type": .string("model"),
    "general.name": .string(name),
    "general.size_label": .string(sizeLabel(tensors)),
  ]
  metadata.merge(hyperparameters) { $1 }
  metadata["general.quantization_version"] = .uint32(2)
  return metadata
}

/// The number of parameters as file names carry it: 4.2M, 8.0B, 671B.
func sizeLabel(_ tensors: [TensorInfo]) -> String {
  let parameters = tensors.reduce(0) { $0 + $1.shape.count }
  let (value, unit) =
    switch parameters {
    case 1_000_000_000_000...: (Double(parameters) / 1e12, "T")
    case 1_000_000_000...: (Double(parameters) / 1e9, "B")
    case 1_000_000...: (Double(parameters) / 1e6, "M")
    default: (Double(parameters) / 1e3, "K")
    }
  return (value < 10 ? String(format: "%.1f", value) : String(format: "%.0f", value)) + unit
}
