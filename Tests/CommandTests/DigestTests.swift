import Blocks
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Outputs of the whole program are equal, byte for byte, to those recorded in Fixtures/digests.json.
///
/// A change that only moves code must not change any digest. A change of an output records the file again:
///
///     QTOOL_WRITE_DIGESTS=1 swift test -c release --filter DigestTests
///
/// and its commit gives the reason for each line that differs. Digests do not depend on threads, folders or qtool's version.
/// They are equal on every x86-64 machine whose C library rounds `exp`, `log`, `sin` and `cos` in the same way: vector code
/// is compiled for one instruction set. Matrix products use this package's kernels (`QTOOL_PRODUCT=packed`) on every
/// platform. Perplexities of DeepSeek models are compared in four digits.
@Suite struct DigestTests {
  private static let file = Repository.root.appending(path: "Tests/CommandTests/Fixtures/digests.json")

  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory

  init() throws { out = try TemporaryDirectory() }

  @Test func outputsHaveNotChanged() throws {
    var found = try encoders()
    found.merge(try mainJob()) { $1 }
    found.merge(try architectures()) { $1 }
    if ProcessInfo.processInfo.environment["QTOOL_WRITE_DIGESTS"] != nil {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      try (encoder.encode(found) + Data("\n".utf8)).write(to: Self.file)
      return
    }
    let expected = try JSONDecoder().decode([String: String].self, from: Data(contentsOf: Self.file))
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, digest) in found.sorted(by: { $0.key < $1.key }) {
      #expect(digest == expected[name], "\(name) has changed")
    }
  }

  /// A fixed matrix in every type, with importance and without.
  private func encoders() throws -> [String: String] {
    let (rows, columns) = (16, 512)
    var random = SplitMix(seed: 20_261_128)
    // Products of uniform numbers have long tails, and need no function of the C library.
    let weights = (0..<rows * columns).map { _ in
      random.floats(3, bound: 1).reduce(0.05, *) + Float.random(in: -0.01...0.01, using: &random)
    }
    let importance = (0..<columns).map { _ in Float.random(in: 0.01...1, using: &random) }
    var digests: [String: String] = [:]
    for type in GGMLType.allCases where type.canEncode {
      digests["encode: \(type.name) with importance"] = try encoded(weights, columns, importance, type)
      if !type.needsImportance { digests["encode: \(type.name)"] = try encoded(weights, columns, nil, type) }
    }
    return digests
  }

  private func encoded(_ weights: [Float], _ columns: Int, _ importance: [Float]?, _ type: GGMLType) throws -> String {
    var bytes = [UInt8](
      repeating: 0xAA, count: (type.rowBytes(columns: columns) ?? 0) * (weights.count / columns))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    if let importance {
      try encodeRows(weights.span, columns: columns, importance: importance.span, as: type, into: &raw)
    } else {
      try encodeRows(weights.span, columns: columns, importance: nil, as: type, into: &raw)
    }
    return sha256(bytes)
  }

  /// Importance, sensitivities, allocation without a search, stock mix, conversion and drift of the demo model.
  private func mainJob() throws -> [String: String] {
    let model = Repository.demoModel
    let calibration = ["--calibration", Repository.calibration + "/news.txt"]
    let (imatrix, sensitivity) = (out.path("demo.imatrix.gguf"), out.path("demo.sensitivity.json"))
    var digests: [String: String] = [:]
    _ = try run(["imatrix", model, "-o", imatrix] + calibration)
    digests["imatrix"] = try sha256(file: imatrix)
    // A text of few windows, so that every machine uses all of them.
    _ = try run(["sensitivity", model, "--imatrix", imatrix, "--bands", "2", "-o", sensitivity] + calibration)
    digests["sensitivity"] = try sha256(file: sensitivity)
    for target in ["1.6MB", "2.7MB"] {
      let path = out.path("demo-\(target).gguf")
      _ = try run(
        [
          "quantize", "--no-feedback", model, "--target", target, "--imatrix", imatrix, "--sensitivity", sensitivity,
          "--no-search",
        ]
          + ["-o", path] + calibration)
      digests.merge(try parts(gguf: path, as: "quantize --target \(target)")) { $1 }
    }
    let stock = out.path("demo-Q4_K_M.gguf")
    _ = try run(["quantize", "--no-feedback", model, "--type", "Q4_K_M", "--imatrix", imatrix, "-o", stock])
    digests.merge(try parts(gguf: stock, as: "quantize --type Q4_K_M")) { $1 }
    let converted = out.path("demo-F16.gguf")
    _ = try run(["convert", model, "-o", converted])
    digests.merge(try parts(gguf: converted, as: "convert")) { $1 }
    let text = Repository.root.appending(path: "Examples/held-out.txt").path
    let drift = try run(
      ["drift", model, out.path("demo-1.6MB.gguf"), stock, "--text", text, "--ctx", "256", "--chunks", "4", "--json"])
    digests["drift"] = sha256(Array(drift.utf8))
    digests["plan"] = sha256(
      Array(try run(["plan", model, "--machine", "m3-ultra-96", "--context", "2k", "--json"]).utf8))
    return digests
  }

  /// Conversion and forward pass of small random models with experts and with latent attention.
  private func architectures() throws -> [String: String] {
    let text = out.path("text.txt")
    try (0..<40).map { "Line \($0) of a text about nothing in particular.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    struct Document: Decodable {
      struct Row: Decodable { let statistics: Statistics }
      struct Statistics: Decodable { let perplexity: Estimate }
      struct Estimate: Decodable { let value: Double }
      let all: Row
    }
    var digests: [String: String] = [:]
    for name in ["qwen3moe", "mixtral", "deepseek2", "deepseek3", "deepseek3-fp8"] {
      let copy = try ReferenceModel.copy(name)
      // The folder's name becomes the model's.
      let (folder, path) = (out.path(name), out.path(name + ".gguf"))
      try withExtendedLifetime(copy) { try FileManager.default.copyItem(atPath: copy.path, toPath: folder) }
      _ = try run(["convert", folder, "--type", "BF16", "-o", path])
      digests["convert: \(name) tensors"] = try digestOfTensors(path)
      let output = try run(["perplexity", path, "--text", text, "--ctx", "64", "--chunks", "3", "--json"])
      if name.hasPrefix("deepseek") {
        let document = try JSONDecoder().decode(Document.self, from: Data(output.utf8))
        let rounded = document.all.statistics.perplexity.value.formatted(.number.precision(.significantDigits(4)))
        digests["perplexity: \(name)"] = rounded
      } else {
        digests["perplexity: \(name)"] = sha256(Array(output.utf8))
        let imatrix = out.path(name + ".imatrix.gguf")
        _ = try run(["imatrix", path, "--calibration", text, "-o", imatrix])
        digests["imatrix: \(name)"] = try sha256(file: imatrix)
      }
    }
    return digests
  }

  private func run(_ arguments: [String]) throws -> String {
    // The memory determines the tiles of sums.
    let isMeasured = ["imatrix", "sensitivity", "quantize", "drift", "perplexity"].contains(arguments[0])
    let options = arguments[0] == "plan" ? [] : isMeasured ? ["--quiet", "--memory", "1GiB"] : ["--quiet"]
    let result = try qtool.run(arguments + options, environment: ["QTOOL_PRODUCT": "packed"])
    try #require(result.status == 0, "\(arguments): \(result.error)")
    return result.output
  }

  /// Digests of a whole file and of its tensors, which show whether the header or the weights have changed.
  private func parts(gguf path: String, as name: String) throws -> [String: String] {
    ["\(name), whole file": try sha256(file: path), "\(name), tensors": try digestOfTensors(path)]
  }

  /// SHA-256 of names, shapes, types and bytes.
  private func digestOfTensors(_ path: String) throws -> String {
    let file = try GGUFFile(path: path)
    var digest = DataDigest()
    for tensor in file.tensors {
      digest.update(Array("\(tensor.name) \(tensor.shape) \(tensor.type.name)\n".utf8).span.bytes)
      var bytes = [UInt8](repeating: 0, count: try #require(tensor.shape.bytes(as: tensor.type)))
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try file.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
      digest.update(bytes.span.bytes)
    }
    return digest.hex()
  }

  private func sha256(file path: String) throws -> String { sha256(Array(try Data(contentsOf: URL(filePath: path)))) }

  private func sha256(_ bytes: [UInt8]) -> String {
    var digest = DataDigest()
    digest.update(bytes.span.bytes)
    return digest.hex()
  }
}
