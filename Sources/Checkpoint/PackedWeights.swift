import Files

/// Weights packed by another quantizer, recognised by the names and types of their tensors.
struct PackedWeights {
  /// The quantizers or formats that pack weights in this way.
  let form: String
  let tensor: StoredTensor

  /// Suffixes of tensor names, each used by one form only.
  private static let suffixes: [(suffix: String, form: String)] = [
    (".weight_packed", "compressed-tensors"), (".bitsandbytes__nf4", "bitsandbytes (NF4)"),
    (".bitsandbytes__fp4", "bitsandbytes (FP4)"), (".weight.absmax", "bitsandbytes"), (".SCB", "bitsandbytes (int8)"),
    (".qzeros", "GPTQ or AWQ"), (".qweight", "GPTQ or AWQ"), (".g_idx", "GPTQ"), (".q_weight", "EXL2"),
    (".q_invperm", "EXL2"), (".trellis", "EXL3"), (".W_q", "HQQ"), (".codebooks", "AQLM"), (".Qidxs", "QuIP#"),
    (".weight._data", "Quanto"), (".weight_scale_2", "ModelOpt (NVFP4)"),
  ]

  /// Finds a tensor that proves that weights are packed; nil if every weight is a stored number.
  init?(in stored: SafetensorsSet, _ quantization: QuantizationConfig) {
    for name in stored.names {
      guard let tensor = stored[name], tensor.packed == nil else { continue }
      if let form = Self.suffixes.first(where: { name.hasSuffix($0.suffix) })?.form {
        self.init(form: form, tensor: tensor)
        return
      }
      if let form = Self.form(of: name, tensor, stored) {
        self.init(form: form, tensor: tensor)
        return
      }
    }
    return nil
  }

  private init(form: String, tensor: StoredTensor) {
    self.form = form
    self.tensor = tensor
  }

  /// The form that a tensor and its neighbours prove together.
  private static func form(of name: String, _ tensor: StoredTensor, _ stored: SafetensorsSet) -> String? {
    func neighbour(_ suffix: String, _ other: String) -> StoredTensor? {
      name.hasSuffix(suffix) ? stored[String(name.dropLast(suffix.count)) + other] : nil
    }
    if tensor.element == .u32, neighbour(".weight", ".scales") != nil { return "MLX" }
    if tensor.element == .i8 || tensor.element == .u8, neighbour(".weight", ".weight_scale") != nil {
      return tensor.element == .i8 ? "integers with scales" : "bytes with scales"
    }
    return nil
  }

  static let hint = "quantize from the original model, or from a copy whose weights are F32, F16, BF16 or FP8"

  func error(_ quantization: QuantizationConfig, _ configPath: String) -> FormatError {
    let hint = Self.hint
    let bits = quantization.bits.map { ", \($0) bits" } ?? ""
    if let key = quantization.key, form == "MLX" {
      return FormatError(
        path: configPath, subject: "key \(key)",
        "declares an MLX model with quantized weights\(bits), which are not supported",
        hint: hint)
    }
    guard let key = quantization.key, let title = quantization.title else {
      return FormatError(
        path: tensor.file.path, subject: "tensor \(tensor.name)", "holds weights that are packed as \(form)", hint: hint
      )
    }
    if quantization.method == "compressed-tensors" {
      return FormatError(
        path: configPath, subject: "key \(key).format",
        "is \(quantization.format ?? "missing") (compressed-tensors\(bits)), which is not supported: "
          + "\(tensor.name) is \(tensor.element.rawValue)",
        hint: "known: float-quantized, int-quantized, naive-quantized, pack-quantized, nvfp4-pack-quantized and"
          + " mxfp4-pack-quantized; " + hint)
    }
    return FormatError(
      path: configPath, subject: "key \(key)",
      "declares weights packed with \(title)\(bits), which are not supported: \(tensor.name) is \(tensor.element.rawValue)",
      hint: hint)
  }
}
