import GGUF
import Tensors

/// llama-quantize's mixes: a base type, and exceptions by role and layer.
public enum StockMix: String, CaseIterable, Sendable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case q8_0 = "Q8_0"
  case q6_K = "Q6_K"
  case q5_K_M = "Q5_K_M"
  case q5_K_S = "Q5_K_S"
  case q5_1 = "Q5_1"
  case q5_0 = "Q5_0"
  case q4_K_M = "Q4_K_M"
  case q4_K_S = "Q4_K_S"
  case q4_1 = "Q4_1"
  case q4_0 = "Q4_0"
  case iq4_nl = "IQ4_NL"
  case iq4_xs = "IQ4_XS"
  case q3_K_L = "Q3_K_L"
  case q3_K_M = "Q3_K_M"
  case q3_K_S = "Q3_K_S"
  case iq3_m = "IQ3_M"
  case iq3_s = "IQ3_S"
  case iq3_xs = "IQ3_XS"
  case iq3_xxs = "IQ3_XXS"
  case q2_K = "Q2_K"
  case q2_K_S = "Q2_K_S"
  case iq2_m = "IQ2_M"
  case iq2_s = "IQ2_S"
  case iq2_xs = "IQ2_XS"
  case iq2_xxs = "IQ2_XXS"
  case iq1_m = "IQ1_M"
  case iq1_s = "IQ1_S"
  case tq2_0 = "TQ2_0"
  case tq1_0 = "TQ1_0"
  case mxfp4_MOE = "MXFP4_MOE"

  /// The mix with this name, in any case. `Q3_K`, `Q4_K` and `Q5_K` mean the `_M` mix, as in llama-quantize.
  public init?(name: String) {
    let upper = name.uppercased()
    let aliases = ["Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"]
    self.init(rawValue: aliases[upper] ?? upper)
  }

  /// The value of `general.file_type`.
  public var fileType: Int {
    switch self {
    case .f32: 0
    case .f16: 1
    case .q4_0: 2
    case .q4_1: 3
    case .q8_0: 7
    case .q5_0: 8
    case .q5_1: 9
    case .q2_K: 10
    case .q3_K_S: 11
    case .q3_K_M: 12
    case .q3_K_L: 13
    case .q4_K_S: 14
    case .q4_K_M: 15
    case .q5_K_S: 16
    case .q5_K_M: 17
    case .q6_K: 18
    case .iq2_xxs: 19
    case .iq2_xs: 20
    case .q2_K_S: 21
    case .iq3_xs: 22
    case .iq3_xxs: 23
    case .iq1_s: 24
    case .iq4_nl: 25
    case .iq3_s: 26
    case .iq3_m: 27
    case .iq2_s: 28
    case .iq2_m: 29
    case .iq4_xs: 30
    case .iq1_m: 31
    case .bf16: 32
    case .tq1_0: 36
    case .tq2_0: 37
    case .mxfp4_MOE: 38
    }
  }

  /// The type of tensors without an exception.
  public var base: GGMLType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .q8_0: .q8_0
    case .q6_K: .q6_K
    case .q5_K_M, .q5_K_S: .q5_K
    case .q5_1: .q5_1
    case .q5_0: .q5_0
    case .q4_K_M, .q4_K_S: .q4_K
    case .q4_1: .q4_1
    case .q4_0: .q4_0
    case .iq4_nl: .iq4_nl
    case .iq4_xs: .iq4_xs
    case .q3_K_L, .q3_K_M, .q3_K_S: .q3_K
    case .iq3_m, .iq3_s, .iq3_xs: .iq3_s
    case .iq3_xxs: .iq3_xxs
    case .q2_K, .q2_K_S: .q2_K
    case .iq2_m: .iq2_s
    case .iq2_s, .iq2_xs: .iq2_xs
    case .iq2_xxs: .iq2_xxs
    case .iq1_m: .iq1_m
    case .iq1_s: .iq1_s
    case .tq2_0: .tq2_0
    case .tq1_0: .tq1_0
    case .mxfp4_MOE: .mxfp4
    }
  }

  /// The types of all tensors of a model, in their order. Tensors that can't be quantized keep their type.
  public func types(for model: any ModelSource, hasImportance: Bool) -> [GGMLType] {
    types(for: model, MixTensors(model), hasImportance: hasImportance)
  }

  func types(for model: any ModelSource, _ tensors: MixTensors, hasImportance: Bool) -> [GGMLType] {
    var rules = StockRules(mix: self, model: model, tensors, hasImportance: hasImportance)
    var types = model.tensors.map(\.exactType)
    for index in tensors.order {
      let tensor = model.tensors[index]
      let type =
        base.isQuantized ? rules.type(of: tensor, tensors.roles[index], layer: tensors.layers[index]) : base
      types[index] = type.fitting(columns: tensor.shape.columns)
    }
    return types
  }
}

/// The properties of a model's tensors that mixes need, computed once for all mixes.
struct MixTensors {
  let roles: [TensorRole]
  let layers: [Int?]
  /// Indices of the quantizable tensors, sorted by layer and name, the order of the rules' counters.
  let order: [Int]

  init(_ model: any ModelSource) {
    let tensors = model.tensors
    roles = tensors.map(\.role)
    let layers = tensors.map(\.layer)
    self.layers = layers
    let architecture = model.architecture
    order = tensors.indices.filter {
      tensors[$0].isQuantizable
        && !ArchitectureRules.keepsType(tensors[$0].name, architecture: architecture)
    }.sorted { one, other in
      let (first, second) = (layers[one] ?? -1, layers[other] ?? -1)
      return first != second
        ? first < second : tensors[one].name.utf8.lexicographicallyPrecedes(tensors[other].name.utf8)
    }
  }
}

extension ModelSource {
  /// `general.architecture`; empty if it is missing.
  var architecture: String { metadata.optionalString("general.architecture") ?? "" }
}
