import Files
import GGUF
import Tensors

/// The limits of mlx_lm's classes: models that one can't hold are refused before hours of work.
enum MLXClass {
  /// Classes that have a matrix of their own for the head.
  private static let untied: Set<String> = [
    "glm4_moe", "glm4_moe_lite", "deepseek_v2", "deepseek_v3", "kimi_k2", "deepseek_v32", "glm_moe_dsa", "qwen3_vl_moe",
  ]

  /// Why a type of model is not written.
  static func reason(modelType: String) -> String {
    switch modelType {
    case "ernie4_5_moe": "whose class in mlx_lm drops the biases of its routers, and so computes another model"
    case "muse_glimmer": "whose norms are not written for MLX"
    case "hy_v3": "of which mlx_lm has no class"
    default: "whose names in MLX are unknown"
    }
  }

  /// Throws for a model that mlx_lm's class of its type can't hold.
  static func check(_ model: any ModelSource, modelType: String, path: String) throws {
    if untied.contains(modelType), model.tensor(named: "output.weight") == nil {
      throw FormatError(
        path: path, subject: "key tie_word_embeddings",
        "is true; mlx_lm's class of \(modelType) has a separate matrix for the head")
    }
    guard modelType == "glm_moe_dsa" else { return }
    var metadata = model.metadata
    let count = metadata.withoutPrediction() ?? .max
    let layers = Set(model.tensors.compactMap(\.layer)).filter { $0 < count }
    if let layer = layers.sorted().first(where: { model.tensor(named: "blk.\($0).indexer.attn_k.weight") == nil }) {
      throw FormatError(
        path: path, subject: "layer \(layer)",
        "has no indexer but shares another layer's; mlx_lm's class of glm_moe_dsa has one in every layer")
    }
  }
}
