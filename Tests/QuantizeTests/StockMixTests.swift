import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// Comparison with the types that llama-quantize chooses.
@Suite struct StockMixTests {
  static let cases = StockFixture.all.keys.sorted()

  @Test(arguments: cases) func typesAreLlamaQuantizes(model name: String) throws {
    let fixture = try #require(StockFixture.all[name])
    let model = fixture.model
    #expect([11, 31].contains(fixture.mixes.count))
    for mixName in fixture.mixes.keys.sorted() {
      let mix = try #require(StockMix(name: mixName))
      for hasImportance in [false, true] {
        let expected = fixture.expected(mixName, hasImportance: hasImportance)
        let types = mix.types(for: model, hasImportance: hasImportance)
        let wrong = zip(model.tensors, types).filter { expected[$0.name] != $1.name }
        #expect(
          wrong.isEmpty,
          "\(mixName), importance \(hasImportance): \(wrong.count), first \(wrong.first.map { "\($0.0.name) \($0.1), not \(expected[$0.0.name] ?? "")" } ?? "")"
        )
      }
    }
  }

  /// Sizes of published files, without their metadata.
  @Test(arguments: [
    ("llama-70b", "Q2_K", 26_375_113_408, 7_866_816), ("llama-70b", "Q3_K_S", 30_912_056_000, 7_866_816),
    ("llama-70b", "Q3_K_M", 34_267_499_200, 7_866_816), ("llama-70b", "Q4_K_M", 42_520_398_528, 7_866_816),
    ("llama-70b", "Q5_K_S", 48_657_451_712, 7_866_816), ("llama-70b", "Q5_K_M", 49_949_821_632, 7_866_816),
    ("qwen2-32b", "Q3_K_M", 15_935_049_056, 5_979_488), ("qwen2-32b", "Q4_K_M", 19_851_337_056, 5_979_488),
  ])
  func sizesAreThePublishedOnes(model: String, mix: String, bytes: Int, metadata: Int) throws {
    var shapes = try #require(StockFixture.all[model]).model
    if model == "llama-70b" {
      shapes.tensors.append(TensorInfo(name: "rope_freqs.weight", shape: Shape([64])!, type: .f32))
    }
    let types = try #require(StockMix(name: mix)).types(for: shapes, hasImportance: true)
    #expect(shapes.with(types).paddedBytes + metadata == bytes)
  }

  @Test func deepSeekR1sDynamicMixIsThePublishedOne() throws {
    var model = try #require(StockFixture.all["deepseek-r1-old"]).model
    let recipe = Preset.iq1_s.recipe(for: model)
    model = model.with(recipe.types(for: model, hasImportance: true))
    let counts = Dictionary(grouping: model.tensors, by: \.type).mapValues(\.count)
    #expect(counts == [.f32: 361, .q4_K: 190, .q5_K: 116, .q6_K: 184, .iq2_xxs: 6, .iq1_s: 168])
    #expect(model.paddedBytes + 5_302_912 == 140_231_438_464)
  }
}
