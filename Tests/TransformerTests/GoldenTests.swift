import Foundation
import GGUF
import Tensors
import TestSupport
import Testing
import Transformer

/// A golden model with its tokens and expected logits.
struct Golden: CustomTestStringConvertible {
  static let names = [
    "llama", "mixtral", "qwen2", "qwen2-yarn", "qwen3", "qwen3moe", "deepseek2-v2", "deepseek2-v2-lora", "deepseek2-v3",
    "deepseek2-v3-joint", "gpt-oss", "qwen35", "qwen35moe", "qwen3next", "gemma3", "gemma4", "gemma4-moe",
    "gemma4-shared",
  ]

  let name: String
  let model: GGUFFile
  let windows: [[Int32]]
  let logits: [Float]
  var testDescription: String { name }

  /// - Parameter other: the model's file; nil for that of the name.
  init(_ name: String, model other: String? = nil) throws {
    func open(_ file: String) throws -> GGUFFile {
      let url = try #require(Bundle.module.url(forResource: file, withExtension: "gguf", subdirectory: "Fixtures"))
      return try GGUFFile(path: url.path)
    }
    self.name = name
    model = try open(other ?? name)
    let golden = try open(name + ".golden")
    let tokens = try #require(golden.tensor(named: "tokens"))
    let ids = try golden.elements(of: tokens, as: Int32.self)
    let length = tokens.shape.columns
    windows = (0..<ids.count / length).map { Array(ids[$0 * length..<($0 + 1) * length]) }
    logits = try golden.elements(of: try #require(golden.tensor(named: "logits")), as: Float.self)
  }
}

extension GGUFFile {
  func elements<Element: BitwiseCopyable>(of tensor: TensorInfo, as type: Element.Type) throws -> [Element] {
    var bytes = [UInt8](repeating: 0, count: tensor.shape.count * MemoryLayout<Element>.size)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
    return bytes.withUnsafeBytes { Array($0.bindMemory(to: Element.self)) }
  }
}

@Suite(.serialized) struct GoldenTests {
  /// For single precision in another order of additions.
  static let tolerance = 1e-4

  /// Windows with delta nets are longer, and a part of the differences is that of exponentials of sums of decays.
  static func tolerance(of name: String) -> Double {
    hasDeltaNets(name) ? 5 * tolerance : tolerance
  }

  private static func hasDeltaNets(_ name: String) -> Bool { ["qwen35", "qwen35moe", "qwen3next"].contains(name) }

  static let engines = ProductEngines.all.map(\.name)

  private func pass(_ golden: Golden, _ engine: String) throws -> ForwardPass {
    var options = ForwardOptions()
    options.engine = try ProductEngines.named(engine)
    return try ForwardPass(source: golden.model, options: options)
  }

  @Test(arguments: Golden.names, engines)
  func agreesWithTransformers(name: String, engine: String) throws {
    let golden = try Golden(name)
    let pass = try pass(golden, engine)
    let length = golden.windows[0].count
    let final = try pass.run(windows: golden.windows, scored: 0..<length)
    let difference = relativeDifference(try allLogits(final), golden.logits.map(Double.init))
    #expect(difference < Self.tolerance(of: name))
  }

  /// llama.cpp reads GELU from a table of half-precision numbers.
  static let geluTolerance = 1e-2

  @Test(arguments: Golden.names.filter { $0 != "deepseek2-v2" }, engines)
  func agreesWithLlamaCpp(name: String, engine: String) throws {
    let golden = try Golden(name)
    let url = try #require(
      Bundle.module.url(forResource: name + ".llama", withExtension: "gguf", subdirectory: "Fixtures"))
    let file = try GGUFFile(path: url.path)
    let expected = try file.elements(of: try #require(file.tensor(named: "logits")), as: Float.self)
    let final = try pass(golden, engine).run(windows: golden.windows, scored: 0..<golden.windows[0].count)
    let tolerance = name.hasPrefix("gemma") ? Self.geluTolerance : Self.tolerance(of: name)
    #expect(relativeDifference(try allLogits(final), expected.map(Double.init)) < tolerance)
  }

  /// A sliding window of 400 tokens in a text of 900: attention skips whole tiles of keys and of values.
  @Test(arguments: engines) func skipsWhatAWindowHides(engine: String) throws {
    let golden = try Golden("gemma3-long", model: "gemma3")
    let key = "gemma3.attention.sliding_window"
    let model = OtherKeys(golden.model, changes: [key: .uint32(400)]) { $0 }
    var options = ForwardOptions()
    options.engine = try ProductEngines.named(engine)
    let length = golden.windows[0].count
    let scored = length - golden.logits.count / 64..<length
    let final = try ForwardPass(source: model, options: options).run(windows: golden.windows, scored: scored)
    #expect(relativeDifference(try allLogits(final), golden.logits.map(Double.init)) < Self.tolerance)
    let narrow = try ForwardPass(source: golden.model, options: options).run(windows: golden.windows, scored: scored)
    #expect(relativeDifference(try allLogits(narrow), golden.logits.map(Double.init)) > 100 * Self.tolerance)
  }

  /// Texts of 512 and of 2048 tokens: windows of 128 and 512 positions, sinks, and the states of delta nets.
  @Test(
    arguments: [
      ("gpt-oss", 128), ("gemma4-shared", 512), ("qwen35", nil), ("qwen35moe", nil), ("qwen3next", nil),
    ] as [(String, UInt32?)], [512, 2048])
  func longTexts(_ model: (name: String, window: UInt32?), length: Int) throws {
    let golden = try Golden(model.name + "-long", model: model.name)
    let architecture = try golden.model.metadata.string("general.architecture")
    let changes = model.window.map { ["attention.sliding_window": MetadataValue.uint32($0)] } ?? [:]
    let source = OtherKeys(golden.model, changes: changes) { "\(architecture).\($0)" }
    let kept = 16
    let final = try ForwardPass(source: source).run(
      windows: [Array(golden.windows[0][..<length])], scored: length - kept..<length)
    let half = golden.logits.count / 2
    let expected = length == 512 ? golden.logits[..<half] : golden.logits[half...]
    #expect(relativeDifference(try allLogits(final), expected.map(Double.init)) < Self.longTolerance)
  }

  /// Errors of states and of rotations grow with the position.
  static let longTolerance = 1e-3

  /// The factors of YaRN's rotation and of latent attention's scores, for each key that defines them.
  @Test(
    arguments: [
      ("qwen2-yarn-factor", "qwen2-yarn", ["attn_factor": .float32(1.25)]),
      (
        "deepseek2-v3-spread", "deepseek2-v3",
        ["attn_factor": .float32(1.25), "yarn_log_multiplier": .float32(-0.05)]
      ),
      ("deepseek2-v3-plain", "deepseek2-v3", ["yarn_log_multiplier": nil]),
      ("deepseek2-v3-linear", "deepseek2-v3", ["type": .string("linear"), "yarn_log_multiplier": .float32(0.05)]),
    ] as [(String, String, [String: MetadataValue?])])
  func rotationsAgreeWithLlamaCpp(variant: String, name: String, changes: [String: MetadataValue?]) throws {
    let golden = try Golden(name)
    let url = try #require(
      Bundle.module.url(forResource: variant + ".llama", withExtension: "gguf", subdirectory: "Fixtures"))
    let file = try GGUFFile(path: url.path)
    let expected = try file.elements(of: try #require(file.tensor(named: "logits")), as: Float.self)
    let architecture = try golden.model.metadata.string("general.architecture")
    let model = OtherKeys(golden.model, changes: changes) { "\(architecture).rope.scaling.\($0)" }
    let final = try ForwardPass(source: model).run(windows: golden.windows, scored: 0..<golden.windows[0].count)
    #expect(relativeDifference(try allLogits(final), expected.map(Double.init)) < Self.tolerance)
    // The model's unchanged keys have another result.
    #expect(relativeDifference(golden.logits, expected.map(Double.init)) > 100 * Self.tolerance)
  }

  /// Files of Kimi K2 have 1 as YaRN's first bound, in whose place runtimes take 32. Other values are refused.
  @Test func theBoundOfKimiK2HasNoEffect() throws {
    let golden = try Golden("deepseek2-v3")
    let key = "deepseek2.rope.scaling.yarn_beta_fast"
    func pass(_ bound: Float) throws -> ForwardPass {
      try ForwardPass(source: OtherKeys(golden.model, changes: [key: .float32(bound)]) { $0 })
    }
    let final = try pass(1).run(windows: golden.windows, scored: 0..<golden.windows[0].count)
    #expect(relativeDifference(try allLogits(final), golden.logits.map(Double.init)) < Self.tolerance)
    #expect(
      throws: ForwardError.unsupportedValue(key: key, value: "16.0", reason: "but runtimes use 32")
    ) { try pass(16) }
  }

  @Test(arguments: Golden.names, engines)
  func scoredPositionsAlone(name: String, engine: String) throws {
    let golden = try Golden(name)
    let final = try pass(golden, engine).run(windows: golden.windows, scored: 11..<23)
    let length = golden.windows[0].count
    let vocabulary = final.vocabularyCount
    let expected = golden.windows.indices.flatMap { window in
      golden.logits[(window * length + 11) * vocabulary..<(window * length + 23) * vocabulary].map(Double.init)
    }
    #expect(relativeDifference(try allLogits(final), expected) < Self.tolerance(of: name))
  }

  /// The logits of two engines differ only in the order of additions (most by less than 1e-5, gemma4-shared by 1.1e-5).
  static let engineTolerance = 2e-5

  @Test(arguments: Golden.names)
  func enginesAgree(name: String) throws {
    let golden = try Golden(name)
    let logits = try Self.engines.map { engine in
      try allLogits(pass(golden, engine).run(windows: golden.windows, scored: 0..<golden.windows[0].count))
    }
    let tolerance = Self.hasDeltaNets(name) ? 10 * Self.engineTolerance : Self.engineTolerance
    #expect(relativeDifference(logits[1], logits[0].map(Double.init)) < tolerance)
  }
}

/// A model with changed metadata; nil removes a key.
private struct OtherKeys: ModelSource {
  let model: any ModelSource
  let metadata: Metadata
  var name: String { model.name }
  var tensors: [TensorInfo] { model.tensors }

  init(_ model: any ModelSource, changes: [String: MetadataValue?], key: (String) -> String) {
    self.model = model
    var metadata = model.metadata
    for (name, value) in changes { metadata[key(name)] = value }
    self.metadata = metadata
  }

  func tensor(named name: String) -> TensorInfo? { model.tensor(named: name) }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try model.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try model.readRows(of: tensor, rows: rows, into: &output)
  }
}
