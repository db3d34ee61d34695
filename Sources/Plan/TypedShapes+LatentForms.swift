import GGUF
import Quantize
import Tensors

extension TypedShapes {
  /// The same model as converters wrote it before April 2025: `attn_kv_b` [rank, heads x (nope + value)] in place of
  /// `attn_k_b` and `attn_v_b`, with separate keys and values per head. nil if attention is not latent or the form is
  /// old already.
  ///
  /// Many of the popular DeepSeek files are of this form, and their cache is some 70 times larger.
  public init?(oldLatentFormOf model: any ModelSource) {
    guard let dimensions = try? ModelDimensions(of: model), let latent = dimensions.latent, !latent.isExpanded else {
      return nil
    }
    let architecture = dimensions.architecture
    var metadata = model.metadata
    metadata["\(architecture).attention.head_count_kv"] = .uint32(UInt32(clamping: dimensions.heads))
    metadata["\(architecture).attention.key_length"] = .uint32(UInt32(clamping: latent.key))
    metadata["\(architecture).attention.value_length"] = .uint32(UInt32(clamping: latent.value))
    metadata.removeValue(forKey: "\(architecture).attention.key_length_mla")
    metadata.removeValue(forKey: "\(architecture).attention.value_length_mla")
    var tensors: [TensorInfo] = []
    for tensor in model.tensors {
      guard tensor.name.hasSuffix(".attn_k_b.weight") else {
        if !tensor.name.hasSuffix(".attn_v_b.weight") { tensors.append(tensor) }
        continue
      }
      // [nope, rank, heads] and [rank, value, heads].
      let lengths = tensor.shape.dimensions
      guard lengths.count == 3, let shape = Shape([lengths[1], lengths[2] * (lengths[0] + latent.value)]) else {
        return nil
      }
      tensors.append(
        TensorInfo(
          name: tensor.name.replacing("attn_k_b", with: "attn_kv_b"), shape: shape, type: tensor.type))
    }
    self.init(name: model.name, metadata: metadata, tensors: tensors)
  }
}
