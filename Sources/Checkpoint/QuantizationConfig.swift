import Files

/// config.json's `quantization_config` (MLX: `quantization`), as far as it concerns weights.
struct QuantizationConfig: Sendable {
  /// The key of config.json; nil if both are missing.
  let key: String?
  /// `quant_method`.
  let method: String?
  /// The `format` of compressed-tensors.
  let format: String?
  let bits: Int?
  /// Rows and columns that share a scale.
  let block: (rows: Int, columns: Int)
  /// FP8 tensors must have scales.
  var hasScales: Bool { method.map(Self.readable.contains) ?? false }

  /// Methods that store FP8 weights with scales.
  static let readable: Set<String> = ["fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"]
  /// Methods that store packed integers. A checkpoint that declares one and has plain weights was dequantized without
  /// an update of config.json.
  static let packing: Set<String> = [
    "gptq", "awq", "bitsandbytes", "auto-round", "intel/auto-round", "aqlm", "hqq", "eetq", "exl2", "exl3", "higgs",
    "quanto", "spqr", "vptq", "compressed-tensors",
  ]

  init(_ config: Config) throws {
    let key = ["quantization_config", "quantization"].first { config[$0]?.object != nil }
    let fields = key.flatMap { config[$0] }
    self.key = key
    method = fields?["quant_method"]?.string
    format = fields?["format"]?.string
    var size = fields?["weight_block_size"]
    var bits = fields?["bits"]?.int ?? fields?["w_bit"]?.int
    if bits == nil, fields?["load_in_4bit"]?.bool == true { bits = 4 }
    if bits == nil, fields?["load_in_8bit"]?.bool == true { bits = 8 }
    for (_, group) in fields?["config_groups"]?.object ?? [:] {
      size = group["weights"]?["block_structure"] ?? size
      bits = bits ?? group["weights"]?["num_bits"]?.int
    }
    self.bits = bits
    guard method != nil, let size, size != .null else {
      block = (128, 128)
      return
    }
    guard let numbers = size.array?.compactMap(\.int), numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
      throw FormatError(
        path: config.path, subject: "key quantization_config.weight_block_size", "is not a pair of positive integers")
    }
    block = (numbers[0], numbers[1])
  }

  /// The usual name of the declared method (`GPTQ`); nil if none is declared.
  var title: String? {
    let names = [
      "gptq": "GPTQ", "awq": "AWQ", "bitsandbytes": "bitsandbytes", "aqlm": "AQLM", "hqq": "HQQ", "eetq": "EETQ",
      "exl2": "EXL2", "exl3": "EXL3", "fp8": "FP8", "mxfp4": "MXFP4", "auto-round": "AutoRound",
      "modelopt": "ModelOpt",
    ]
    guard let method else { return nil }
    return names[method] ?? method
  }
}

extension SafetensorsSet {
  /// Refuses packed weights in a form that can't be read, and names the form.
  ///
  /// - Returns: a note if config.json declares quantized weights, but they are not quantized.
  func check(_ quantization: QuantizationConfig, configPath: String) throws -> CheckpointNote? {
    if let packed = PackedWeights(in: self, quantization) { throw packed.error(quantization, configPath) }
    guard let key = quantization.key else { return nil }
    let method = quantization.method
    let hasFloat8 = names.contains { self[$0]?.element.isFloat8 == true }
    if let method, QuantizationConfig.readable.contains(method) {
      // FP8 decoded to BF16 is exact and needs no scales.
      return hasFloat8 || method != "compressed-tensors" ? nil : .plainWeights(key: key, method: method)
    }
    guard !hasFloat8, method.map(QuantizationConfig.packing.contains) ?? true else {
      throw FormatError(
        path: configPath, subject: "key \(key).quant_method", "is \(method ?? "missing")",
        hint: "known: fp8, fbgemm_fp8, and compressed-tensors and modelopt with FP8 weights; quantize from the original"
          + " model")
    }
    return .plainWeights(key: key, method: method)
  }
}
