import ArgumentParser
import Files
import Foundation
import GGUF
import Quantize
import Tensors

/// Constraints of the types, for every way to choose them.
struct ConstraintOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("tensor-type")],
    help: ArgumentHelp("Set the type of matching tensors; the first match applies.", valueName: "regex=type"))
  var pin: [String] = []
  @Option(
    name: .long, help: ArgumentHelp("Pins from a file, one per line; # begins a comment.", valueName: "file"),
    completion: .file())
  var tensorTypeFile: String?
  @Option(
    name: .long, help: ArgumentHelp("Give matching tensors at least the bits of a type.", valueName: "regex=type"))
  var floor: [String] = []
  @Option(name: .long, help: ArgumentHelp("Types to leave out, separated by commas.", valueName: "types"))
  var excludeType: [String] = []
  @Option(name: .long, help: ArgumentHelp("The only types to use, separated by commas.", valueName: "types"))
  var onlyTypes: [String] = []
  @Flag(name: .long, help: "Keep the type of the output matrix.") var leaveOutputTensor = false
  @Option(name: .long, help: ArgumentHelp("The type of the output matrix.", valueName: "type"))
  var outputTensorType: String?
  @Option(name: .long, help: ArgumentHelp("The type of the token embedding.", valueName: "type"))
  var tokenEmbeddingType: String?
  @Flag(name: .long, help: "Warn of rules that match no tensor, instead of stopping.") var lenient = false

  func constraints(for model: any ModelSource, _ progress: Progress) throws -> TypeConstraints {
    var constraints = TypeConstraints()
    if let outputTensorType {
      constraints.pins.append(try TypeRule("^output\\.weight$=\(outputTensorType)"))
      if model.tensor(named: "output.weight") == nil, tokenEmbeddingType == nil {
        constraints.pins.append(try TypeRule("^token_embd\\.weight$=\(outputTensorType)"))
      }
    }
    if let tokenEmbeddingType {
      constraints.pins.append(try TypeRule("^(per_layer_)?token_embd\\.weight$=\(tokenEmbeddingType)"))
    }
    let file = try tensorTypeFile.map { try RuleFile(path: $0) } ?? RuleFile()
    let pins = try pin.map { try TypeRule($0) } + file.rules
    constraints.pins += pins
    constraints.floors = try floor.map { try TypeRule($0) }
    constraints.excluded = try types(excludeType, "--exclude-type", of: model)
    if !onlyTypes.isEmpty { constraints.only = try types(onlyTypes, "--only-types", of: model) }
    constraints.leavesOutput = leaveOutputTensor
    // The tensors of --output-tensor-type and --token-embedding-type may be missing.
    try check(pins + constraints.floors, model, file, progress)
    return constraints
  }

  /// Refuses rules that match no tensor; with --lenient, warns of them.
  func check(
    _ rules: [TypeRule], _ model: any ModelSource, _ file: RuleFile, _ progress: Progress
  ) throws {
    for rule in rules {
      do { try [rule].checkSpeed(on: model) } catch { throw file.located(error, of: rule) }
    }
    for rule in rules.unmatched(in: model) {
      let error = file.located(rule.unmatchedError(in: model), of: rule)
      guard lenient else {
        // Components of names: `blk`, `attn_q`, `weight`.
        let parts = Set(
          model.tensors.filter(\.isQuantizable).flatMap { $0.name.split(separator: ".").map(String.init) })
        let words = rule.pattern.text.matches(of: /[A-Za-z_0-9]+/).map { String($0.output) }
        let word = words.max { $0.count < $1.count } ?? ""
        throw Failure(error)?.suggesting(word, among: parts.sorted().filter { Int($0) == nil }) ?? error
      }
      progress.note("warning: \(error)")
    }
  }

  private func types(_ names: [String], _ option: String, of model: any ModelSource) throws -> Set<GGMLType> {
    Set(
      try names.flatMap { $0.split(separator: ",") }.map { name in
        guard let type = GGMLType(name: name) else {
          throw Failure(
            .usage, "\(option) \(name): there is no such type",
            hint: "known: "
              + (model.outputForm?.menu.map(\.menuName) ?? GGMLType.allCases.filter(\.isQuantized).map(\.name))
              .joined(separator: ", ")
          ).suggesting(String(name), among: GGMLType.allCases.map(\.name))
        }
        return type
      })
  }
}

/// Changes of the model before it is quantized.
struct SourceOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Remove layers, such as 3,7,20-25.", valueName: "layers"))
  var pruneLayers: String?
  @Option(
    name: .long,
    help: ArgumentHelp("Set a metadata key; types are int, float, bool and str.", valueName: "key=type:value"))
  var overrideKv: [String] = []

  func layers() throws -> Set<Int> {
    guard let pruneLayers else { return [] }
    var result = Set<Int>()
    for part in pruneLayers.split(separator: ",") {
      let ends = part.split(separator: "-").map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last, last < 1 << 16
      else {
        throw Failure(.usage, "--prune-layers \(pruneLayers): \(part) is neither a layer nor a range of layers")
      }
      result.formUnion(first...last)
    }
    return result
  }

  /// The model without the removed layers; nil if none is removed.
  func pruned(_ model: any ModelSource) throws -> PrunedModel? {
    let layers = try layers()
    return layers.isEmpty ? nil : try PrunedModel(model, without: layers)
  }

  func overrides(for source: any ModelSource) throws -> [MetadataOverrides.Override] {
    if source.outputForm != nil, !overrideKv.isEmpty {
      throw Failure(
        .usage, "--override-kv \(overrideKv[0]): sets a key of a GGUF, which an MLX directory does not have")
    }
    return try MetadataOverrides(texts: overrideKv).values(for: source)
  }
}
