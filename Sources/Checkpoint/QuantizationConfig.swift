import Files
import Tensors

/// config.json's `quantization_config` (MLX: `quantization`), as far as it concerns weights.
struct QuantizationConfig: Sendable {
  /// The key of config.json; nil if both are missing.
  let key: String?
  /// `quant_method`.
  let method: String?
  /// The `format` of compressed-tensors.
  let format: String?
  let bits: Int?
  /// `checkpoint_format` of GPTQ.
  let checkpointFormat: String?
  /// The groups of compressed-tensors.
  let groups: [Group]
  /// The modules that compressed-tensors leaves out.
  private let unquantized: [String]
  /// Rotations of weights by compressed-tensors.
  fileprivate let rotations: Rotations
  /// Rows and columns that share a scale.
  let block: (rows: Int, columns: Int)
  /// FP8 tensors must have scales.
  var hasScales: Bool { method.map(Self.readable.contains) ?? false }

  /// Methods whose weights can be read.
  static let readable: Set<String> = ["fp8", "fbgemm_fp8", "compressed-tensors", "modelopt", "mxfp4", "gptq"]
  /// Methods that store packed integers.
  static let packing: Set<String> = [
    "awq", "bitsandbytes", "auto-round", "intel/auto-round", "aqlm", "hqq", "eetq", "exl2", "exl3", "higgs",
    "quanto", "spqr", "vptq",
  ]

  init(_ config: Config) throws {
    let key = ["quantization_config", "quantization"].first { config[$0]?.object != nil }
    let fields = key.flatMap { config[$0] }
    self.key = key
    method = fields?["quant_method"]?.string
    format = fields?["format"]?.string
    checkpointFormat = fields?["checkpoint_format"]?.string
    groups = (fields?["config_groups"]?.object ?? [:]).sorted { $0.key < $1.key }.map { Group($1) }
    unquantized = (fields?["ignore"]?.array ?? []).compactMap(\.string)
    rotations = Rotations(fields?["transform_config"])
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

extension QuantizationConfig {
  /// Refuses a method whose weights can't be read, where there are no weights to look at.
  func refuseUnreadable(configPath: String) throws {
    guard let key, let method, let title else { return }
    if rotations != .none { throw rotated(key, configPath) }
    let isReadable = Self.readable.contains(method) && (method != "gptq" || [2, 4, 8].contains(bits ?? 4))
    guard !isReadable else { return }
    guard Self.packing.contains(method) || method == "gptq" else { throw unknownMethod(key, configPath) }
    throw FormatError(
      path: configPath, subject: "key \(key)",
      "declares weights packed with \(title)\(bits.map { ", \($0) bits" } ?? ""), which are not supported",
      hint: PackedWeights.hint)
  }

  fileprivate func unknownMethod(_ key: String, _ configPath: String) -> FormatError {
    let isKnown = method.map(Self.readable.contains) ?? false
    return FormatError(
      path: configPath, subject: "key \(key).quant_method",
      "is \(method ?? "missing")" + (isKnown ? ", and weights are stored as FP8" : ""),
      hint: "known: \(Self.readable.sorted().joined(separator: ", ")); quantize from the original model")
  }

  fileprivate func rotated(_ key: String, _ configPath: String) -> FormatError {
    FormatError(
      path: configPath, subject: "key \(key).transform_config",
      "declares rotations of the weights, which are not supported", hint: "quantize from the original model")
  }

  /// Rotations that `transform_config` declares.
  fileprivate enum Rotations {
    case none
    /// Rotations of weights alone, on both sides of a product, so that they cancel in plain weights.
    case ofWeights
    /// Rotations of hidden states too, while the model runs.
    case ofStates

    init(_ value: JSONValue?) {
      guard let value, value.isTrue else {
        self = .none
        return
      }
      let groups = value["config_groups"]?.object ?? [:]
      let locations = groups.values.flatMap { $0["apply"]?.array ?? [.null] }.map { $0["location"]?.string ?? "" }
      self = !locations.isEmpty && locations.allSatisfy { $0.hasPrefix("weight_") } ? .ofWeights : .ofStates
    }
  }

  /// A group of modules that compressed-tensors packs in the same way.
  struct Group: Sendable {
    let bits: Int?
    let isFloat: Bool
    let isSymmetric: Bool
    /// Whether columns of one scale are not consecutive.
    let isReordered: Bool
    /// Columns that share a scale; nil for whole rows.
    let size: Int?
    let format: String?
    let targets: [String]

    init(_ value: JSONValue) {
      let weights = value["weights"]
      bits = weights?["num_bits"]?.int
      isFloat = weights?["type"]?.string == "float"
      isSymmetric = weights?["symmetric"]?.bool ?? true
      isReordered = weights?["actorder"]?.string?.lowercased() == "group"
      size = weights?["group_size"]?.int.flatMap { $0 > 0 ? $0 : nil }
      format = value["format"]?.string
      targets = (value["targets"]?.array ?? []).compactMap(\.string)
    }
  }

  /// The type of blocks that a tensor's packed weights become, as far as config.json tells; nil for floats.
  func blockType(of expected: ExpectedTensor) -> GGMLType? {
    guard method == "compressed-tensors", expected.parts.keepRows, let stored = expected.storedNames.first,
      stored.hasSuffix(".weight"), !stored.hasSuffix("embed_tokens.weight")
    else { return nil }
    let module = String(stored.dropLast(".weight".count))
    func names(_ patterns: [String]) -> Bool {
      patterns.contains { pattern in
        guard pattern.hasPrefix("re:") else { return pattern == module || pattern == "Linear" }
        return (try? Regex(String(pattern.dropFirst(3))).prefixMatch(in: module)) != nil
      }
    }
    guard !names(unquantized), let group = groups.first(where: { names($0.targets) }) else { return nil }
    let columns = expected.shape.columns
    if group.isFloat {
      let isMicroscaled = (group.format ?? format) == "mxfp4-pack-quantized"
      return isMicroscaled && columns % 32 == 0 ? .mxfp4 : nil
    }
    guard group.isSymmetric, !group.isReordered, columns % 32 == 0, (group.size ?? columns) % 32 == 0 else {
      return nil
    }
    return group.bits == 4 ? .q4_0 : group.bits == 8 ? .q8_0 : nil
  }

  /// The bits of each integer of a packed tensor: a declared number that gives its width.
  func bits(of packed: StoredTensor, columns: Int) -> Int? {
    func fits(_ bits: Int) -> Bool {
      (2...8).contains(bits) && (columns + 32 / bits - 1) / (32 / bits) == packed.columns
    }
    return (groups.compactMap(\.bits) + [4, 8]).first(where: fits)
  }
}

extension SafetensorsSet {
  /// Refuses packed weights in a form that can't be read, and names the form. A checkpoint that declares a method and has
  /// plain weights was dequantized without an update of config.json.
  ///
  /// - Returns: a note if config.json declares quantized weights, but they are not quantized.
  func check(_ quantization: QuantizationConfig, configPath: String) throws -> CheckpointNote? {
    if let packed = PackedWeights(in: self, quantization) { throw packed.error(quantization, configPath) }
    guard let key = quantization.key else { return nil }
    let method = quantization.method
    let hasFloat8 = names.contains { self[$0]?.element.isFloat8 == true }
    let isPlain = !hasFloat8 && !names.contains { self[$0]?.packed != nil }
    if quantization.rotations == .ofStates || quantization.rotations == .ofWeights && !isPlain {
      throw quantization.rotated(key, configPath)
    }
    let isOfIntegers = method == "gptq" || method == "mxfp4"
    if let method, QuantizationConfig.readable.contains(method), !hasFloat8 || !isOfIntegers {
      // FP8 decoded to BF16 is exact and needs no scales.
      let isExact = !isOfIntegers && method != "compressed-tensors"
      return isPlain && !isExact ? .plainWeights(key: key, method: method) : nil
    }
    // BitNet rounds floats when they are used.
    guard !hasFloat8, method != "bitnet" else { throw quantization.unknownMethod(key, configPath) }
    return isPlain ? .plainWeights(key: key, method: method) : nil
  }
}
