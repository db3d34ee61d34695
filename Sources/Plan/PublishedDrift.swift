import Quantize

/// Published drift of stock mixes for one model: their order, and the rough size of the steps.
///
/// Mean KL divergence from F16 of Llama-3-8B on the wiki test set. A larger model loses less at the same mix; the order
/// of the mixes is the same. Source: the scoreboard in llama.cpp's tools/perplexity/README.md; for types with
/// importance, its best row with a matrix.
public enum PublishedDrift {
  /// The measured model.
  public static let model = "Llama-3-8B"

  /// nil for mixes that were not measured; ternary mixes are for models trained for them.
  package static func meanKLD(_ mix: StockMix, hasImportance: Bool) -> Double? {
    hasImportance ? withImportance[mix] ?? without[mix] : without[mix]
  }

  private static let withImportance: [StockMix: Double] = [
    .q4_K_M: 0.028152, .q4_K_S: 0.031951, .iq4_nl: 0.035742, .iq4_xs: 0.036334, .q3_K_L: 0.073077,
    .q3_K_M: 0.084358, .iq3_m: 0.102534, .iq3_s: 0.111278, .iq3_xs: 0.138693, .iq3_xxs: 0.183625, .q3_K_S: 0.199821,
    .iq2_m: 0.325989, .q2_K: 0.331393, .q2_K_S: 0.403360, .iq2_s: 0.439197, .iq2_xs: 0.546290, .iq2_xxs: 0.812022,
    .iq1_m: 1.393084, .iq1_s: 2.211278,
  ]

  private static let without: [StockMix: Double] = [
    .f32: 0, .bf16: 0, .f16: 0, .q8_0: 0.001355, .q6_K: 0.005452, .q5_K_M: 0.010762, .q5_K_S: 0.016595,
    .q5_1: 0.018045, .q5_0: 0.022239, .q4_K_M: 0.031273, .q4_K_S: 0.043136, .q4_1: 0.071683, .q4_0: 0.071940,
    .q3_K_L: 0.087176, .q3_K_M: 0.101913, .q3_K_S: 0.228217, .q2_K: 0.445132,
  ]
}
