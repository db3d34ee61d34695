import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

@Suite struct RecipeTests {
  private func model(_ name: String) throws -> TypedShapes { try #require(StockFixture.all[name]).model }

  @Test func theFirstRuleThatMatchesDecides() throws {
    let recipe = try Recipe(
      yaml: """
        name: three rules
        base: iq2_xs
        rules:
          - ^output\\.weight=q6_K
          - 'blk\\.[0-3]\\.ffn_down=Q3_K'
          - "ffn_(down|up)=Q4_K"
        """, file: "three.yaml")
    let model = try model("llama-8b")
    try recipe.check(against: model)
    let types = Dictionary(
      uniqueKeysWithValues: zip(model.tensors.map(\.name), recipe.types(for: model, hasImportance: false)))
    #expect(recipe.name == "three rules")
    #expect(types["output.weight"] == .q6_K)
    #expect(types["token_embd.weight"] == .iq2_xs)
    #expect(types["blk.3.ffn_down.weight"] == .q3_K)
    #expect(types["blk.13.ffn_down.weight"] == .q4_K)
    #expect(types["blk.0.attn_norm.weight"] == .f32)
  }

  /// Patterns that would try all divisions of a name are refused. Patterns that try some thousands are accepted.
  @Test func patternsThatTakeForever() throws {
    let model = try model("llama-8b")
    for pattern in ["(.*)*x", "(([a-z._0-9]+)+)+!"] {
      let recipe = try Recipe(yaml: "base: Q4_K\nrules: ['\(pattern)=Q6_K']", file: "r")
      let error = try #require(throws: RecipeError.self) { try recipe.check(against: model) }
      guard case .badRule(rule: _, let reason) = error, reason.contains("takes too long") else {
        Issue.record("\(pattern): \(error)")
        continue
      }
    }
    for pattern in [".*.*.*ffn_down", "(a|b)*lk", "^(?!.*norm).*ffn.*$"] {
      let recipe = try Recipe(yaml: "base: Q4_K\nrules: ['\(pattern)=Q6_K']", file: "r")
      try recipe.check(against: model)
      let types = zip(model.tensors, recipe.types(for: model, hasImportance: false))
      #expect(types.contains { $0.name.contains("ffn_down") && $1 == .q6_K })
    }
  }

  @Test func typesThatDoNotFitAreReplaced() throws {
    let model = try model("qwen2-72b")
    let recipe = try Recipe(yaml: "base: Q4_K\nrules: [ffn_down=IQ2_XXS]", file: "r")
    let types = zip(model.tensors, recipe.types(for: model, hasImportance: true))
    #expect(types.allSatisfy { !$0.name.contains("ffn_down") || $1 == .iq4_nl })
  }

  /// Every stock mix and preset of every model is recovered from its types, and through text.
  @Test(arguments: StockMixTests.cases) func explainingGivesTheSameTypes(name: String) throws {
    let shapes = try model(name)
    var made: [(String, [GGMLType])] = Preset.allCases.map {
      ($0.rawValue, $0.recipe(for: shapes).types(for: shapes, hasImportance: true))
    }
    for mix in [StockMix.q4_K_M, .q3_K_M, .iq4_xs, .iq3_xs, .iq2_m, .iq1_s, .q8_0] {
      made.append((mix.rawValue, mix.types(for: shapes, hasImportance: true)))
    }
    for (mix, types) in made {
      let file = shapes.with(types)
      let recipe = Recipe(explaining: file)
      let text = try recipe.yaml()
      let again = try Recipe(yaml: text, file: mix)
      #expect(again == recipe)
      try again.check(against: shapes)
      #expect(again.types(for: shapes, hasImportance: false) == types, "\(mix): \(text)")
      #expect(recipe.rules.count <= 12, "\(mix): \(text)")
    }
  }

  @Test func aStockFileIsExplainedByItsName() throws {
    let shapes = try model("llama-70b")
    let file = shapes.with(StockMix.q4_K_M.types(for: shapes, hasImportance: false))
    #expect(try Recipe(explaining: file).yaml() == "mix: Q4_K_M\n")
  }

  @Test func differencesFromAStockMixAreRules() throws {
    let shapes = try model("llama-70b")
    var types = StockMix.q4_K_M.types(for: shapes, hasImportance: false)
    for (index, tensor) in shapes.tensors.enumerated() where tensor.name == "output.weight" { types[index] = .f16 }
    let recipe = Recipe(explaining: shapes.with(types))
    #expect(try recipe.yaml() == "mix: Q4_K_M\nrules:\n- ^output\\.weight=F16\n")
  }

  /// Types without a pattern are recovered too.
  @Test func anyTypesAreRecovered() throws {
    var generator = SplitMix(seed: 31)
    let shapes = try model("deepseek-r1")
    for _ in 0..<5 {
      let types = shapes.tensors.map { tensor -> GGMLType in
        guard tensor.isQuantizable else { return tensor.type }
        return [GGMLType.q4_K, .q5_K, .iq3_s, .q2_K].randomElement(using: &generator)!
          .fitting(columns: tensor.shape.columns)
      }
      let recipe = Recipe(explaining: shapes.with(types))
      #expect(recipe.types(for: shapes, hasImportance: false) == types)
    }
  }

  @Test(arguments: [
    ("base: Q4_KX", "unknown type Q4_KX"), ("mix: Q4_K_XL", "unknown mix Q4_K_XL"),
    ("base: Q4_K\nrules: [attn_v=Q9]", "rule attn_v=Q9: unknown type Q9"),
    ("base: Q4_K\nrules: [attn_v]", "rule attn_v: is not REGEX=TYPE"),
    ("base: Q4_K\nrules: ['attn_(v=Q4_K']", "not a regular expression"),
    ("base: Q4_K\nmix: Q4_K_M", "both a base and a mix"), ("rules: []", "neither a base nor a mix"),
    ("base: Q4_K\nlayers: 3", "unknown key layers"), ("- Q4_K", "not a mapping"), ("base: [Q4_K", "not YAML"),
    ("", "not a mapping"),
  ])
  func badRecipesAreNamed(text: String, message: String) throws {
    let error = #expect(throws: RecipeError.self) { try Recipe(yaml: text, file: "bad.yaml") }
    #expect(error?.description.hasPrefix("bad.yaml: ") == true, "\(String(describing: error))")
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  /// A file's names may contain any character. The rules for its types match them literally.
  @Test(arguments: ["we(ird", "a[b", "c{", "d**", "e|f", "$^", "g\\", "h.i"]) func namesAreNotPatterns(_ part: String)
    throws
  {
    let shape = try #require(Shape([256, 4]))
    let tensors = (0..<3).flatMap { layer in
      [
        TensorInfo(name: "blk.\(layer).\(part).weight", shape: shape, type: layer == 1 ? .q8_0 : .q4_K),
        TensorInfo(name: "blk.\(layer).attn_q.weight", shape: shape, type: .q4_K),
      ]
    }
    let shapes = TypedShapes(name: "m", metadata: [:], tensors: tensors)
    let recipe = try Recipe(yaml: Recipe(explaining: shapes).yaml(), file: "r")
    #expect(recipe.types(for: shapes, hasImportance: false) == tensors.map(\.type))
  }

  @Test func rulesThatMatchNothingAreNamed() throws {
    let shapes = try model("llama-8b")
    let recipe = try Recipe(yaml: "base: Q4_K\nrules: [ffn_down_exps=Q2_K, attn_v=Q6_K]", file: "r")
    #expect(throws: RecipeError.unmatched(rule: "ffn_down_exps=Q2_K")) { try recipe.check(against: shapes) }
    // Norms are never quantized.
    var constraints = TypeConstraints()
    constraints.pins = [try TypeRule("attn_norm=Q4_K")]
    #expect(throws: RecipeError.unmatched(rule: "attn_norm=Q4_K")) { try constraints.check(against: shapes) }
  }
}

@Suite struct ConstraintTests {
  private func types(_ constraints: TypeConstraints, _ base: GGMLType = .q3_K) throws -> [String: GGMLType] {
    let shapes = try #require(StockFixture.all["llama-8b"]).model
    let all = shapes.tensors.map { $0.isQuantizable ? base : $0.type }
    return Dictionary(
      uniqueKeysWithValues: zip(shapes.tensors.map(\.name), try constraints.applied(to: all, of: shapes)))
  }

  @Test func pinsHavePrecedence() throws {
    var constraints = TypeConstraints()
    constraints.pins = [try TypeRule("attn_v=IQ4_XS"), try TypeRule("attn_=Q5_K")]
    constraints.floors = [try TypeRule("attn_=Q6_K"), try TypeRule("ffn_down=Q4_K")]
    constraints.excluded = [.q5_K]
    let types = try types(constraints)
    #expect(types["blk.0.attn_v.weight"] == .iq4_xs)
    #expect(types["blk.0.attn_q.weight"] == .q5_K)
    #expect(types["blk.0.ffn_down.weight"] == .q4_K)
    #expect(types["blk.0.ffn_up.weight"] == .q3_K)
  }

  @Test func excludedTypesAreReplacedByTheNextLarger() throws {
    var constraints = TypeConstraints()
    constraints.excluded = [.q3_K, .iq3_s]
    #expect(try types(constraints)["blk.7.ffn_up.weight"] == .iq4_xs)
    constraints = TypeConstraints()
    constraints.only = [.q2_K, .q8_0]
    #expect(try types(constraints)["blk.7.ffn_up.weight"] == .q8_0)
    #expect(try types(constraints)["blk.7.attn_norm.weight"] == .f32)
  }

  @Test func theOutputCanKeepItsType() throws {
    var constraints = TypeConstraints()
    constraints.leavesOutput = true
    #expect(try types(constraints)["output.weight"] == .f16)
  }

  /// Tensors without importance get the nearest allowed type that does not need it, even if pinned.
  @Test func typesThatNeedMissingImportanceAreReplaced() throws {
    let without = "blk.3.ffn_down.weight"
    var constraints = TypeConstraints()
    constraints.withoutImportance = [without]
    for base in [GGMLType.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs] {
      let types = try types(constraints, base)
      #expect(types[without] == .q2_K && types["blk.4.ffn_down.weight"] == base)
    }
    #expect(try types(constraints, .iq2_s)[without] == .iq2_s)
    constraints.pins = [try TypeRule("ffn_down=IQ2_XXS")]
    #expect(try types(constraints)[without] == .q2_K)
    #expect(try types(constraints)["blk.4.ffn_down.weight"] == .iq2_xxs)
    constraints.pins = []
    constraints.excluded = [.q2_K]
    #expect(try types(constraints, .iq2_xxs)[without] == .iq2_s)
    constraints.floors = [try TypeRule("ffn_down=Q3_K")]
    #expect(try types(constraints, .iq2_xxs)[without] == .q3_K)
    constraints = TypeConstraints()
    constraints.withoutImportance = [without]
    constraints.only = [.iq1_s, .iq2_xxs]
    #expect(throws: QuantizeError.needsImportance(tensor: without, type: .iq2_xxs)) {
      try types(constraints, .iq2_xxs)
    }
    let shapes = try #require(StockFixture.all["llama-8b"]).model
    let tensor = try #require(shapes.tensor(named: without))
    let menu: [GGMLType] = [.iq2_xxs, .iq1_s, .q2_K]
    constraints.only = nil
    #expect(constraints.menu(for: tensor, from: menu) == [.q2_K])
    let replaced = try constraints.replacements(
      in: shapes.tensors.map { $0.isQuantizable ? .iq2_xs : $0.type }, of: shapes)
    #expect(replaced.map(\.tensor) == [without] && replaced[0].wanted == .iq2_xs && replaced[0].given == .q2_K)
  }

  /// A tensor that already has the type is copied.
  @Test func aKeptTypeNeedsNoImportance() throws {
    let shape = Shape([256, 4])!
    let model = TypedShapes(
      name: "m", metadata: [:], tensors: [TensorInfo(name: "blk.0.ffn_up.weight", shape: shape, type: .iq2_xxs)])
    var constraints = TypeConstraints()
    constraints.withoutImportance = ["blk.0.ffn_up.weight"]
    #expect(try constraints.applied(to: [.iq2_xxs], of: model) == [.iq2_xxs])
    #expect(try constraints.applied(to: [.iq2_xs], of: model) == [.q2_K])
  }

  /// Ternary types have as many bits as IQ2_XXS, but ruin a model that was not trained for them.
  @Test func replacementsAreNotTypesForTrainedLevels() throws {
    var constraints = TypeConstraints()
    constraints.excluded = [.iq2_xxs, .iq1_m, .iq4_xs]
    #expect(try types(constraints, .iq2_xxs)["blk.3.ffn_down.weight"] == .iq2_xs)
    #expect(try types(constraints, .iq1_m)["blk.3.ffn_down.weight"] == .iq2_xs)
    #expect(try types(constraints, .iq4_xs)["blk.3.ffn_down.weight"] == .q4_0)
    constraints.only = [.tq2_0, .q8_0]
    #expect(try types(constraints, .iq2_xxs)["blk.3.ffn_down.weight"] == .tq2_0)
  }
}
