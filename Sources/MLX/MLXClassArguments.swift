import GGUF
import Tensors

/// The keys that a directory's config.json has for a class of mlx_lm, beside those of the checkpoint's.
struct MLXClassArguments: Sendable {
  /// Keys that the checkpoint's configuration lacks.
  let missing: [(key: String, value: String)]
  /// Keys that declare biases, which replace the checkpoint's.
  let flags: [(key: String, value: String)]
  /// Keys of `rope_parameters`, for classes that read it alone.
  let rotation: [(key: String, value: String)]

  /// No keys, for the configuration around that of a language model.
  static let none = MLXClassArguments(missing: [], flags: [], rotation: [])

  private init(
    missing: [(key: String, value: String)], flags: [(key: String, value: String)],
    rotation: [(key: String, value: String)]
  ) {
    (self.missing, self.flags, self.rotation) = (missing, flags, rotation)
  }

  /// - Throws: `FormatError` for what the model does not tell, and for biases that the class can't hold.
  init(_ model: any ModelSource, metadata: Metadata, in folder: MLXFolder) throws {
    let (values, holder) = (MLXClassValues(model, metadata), folder.mlxClass)
    self.init(
      missing: try holder.arguments(values, folder), flags: try holder.biases(model, folder),
      rotation: holder.rotation(values))
  }

  /// Sets keys in the configuration of a language model, or of a larger model.
  func complete(_ config: inout JSONText, modelType: String, floats: String, path: String) {
    for key in ["torch_dtype", "dtype"] where config.has(key) { config.set(key, JSONText.quoted(floats)) }
    // Blocks for multi-token prediction are not written.
    for key in ["mtp_num_hidden_layers", "num_nextn_predict_layers"] where config.has(key) { config.set(key, "0") }
    MLXRope.gather(&config, rotation, path: path)
    MLXRope.spread(&config, modelType: modelType, path: path)
    for (key, value) in missing where !config.has(key) || config[key] == "null" { config.set(key, value) }
    for (key, value) in flags { config.set(key, value) }
  }
}
