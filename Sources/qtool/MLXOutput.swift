import ArgumentParser
import Checkpoint
import Foundation
import GGUF
import MLX
import Plan
import Quantize
import Tensors

/// The form of the output.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case gguf, mlx

  /// The model in the form of the output.
  ///
  /// - Parameters:
  ///   - whole: the model as it was opened.
  ///   - source: the same with the weights and layers that the user wants.
  func formed(_ source: any ModelSource, of whole: any ModelSource, prunes: Bool) throws -> any ModelSource {
    guard self == .mlx else {
      try whole.refuseMLX()
      return source
    }
    guard !prunes else {
      throw Failure(.usage, "--format mlx: --prune-layers is not possible: config.json describes the whole model")
    }
    if let checkpoint = whole as? CheckpointDirectory {
      return try MLXSource(checkpoint, reading: source, version: QTool.version)
    }
    return try MLXSource(describing: source, directory: try whole.folderOfFloats(), version: QTool.version)
  }
}

extension ModelSource {
  /// The folder of a GGUF of floats, with the config.json and the tokenizer's files of the same model. Its order of rows and
  /// the weights of its norms are undone exactly.
  fileprivate func folderOfFloats() throws -> String {
    func refused(_ reason: String, _ hint: String, _ code: Failure.Code = .usage) -> Failure {
      Failure(code, "--format mlx: \(name) \(reason)", hint: hint)
    }
    guard let path = tensors.first.flatMap({ path(of: $0) }), !(self is MLXModel) else {
      throw refused("is not a Hugging Face directory of floats", "name the original model")
    }
    if let tensor = tensors.first(where: { $0.type.isQuantized && $0.type != .mxfp4 }) {
      throw refused(
        "is not a Hugging Face directory of floats: \(tensor.name) is \(tensor.type), whose errors would remain",
        "name the original model")
    }
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    guard FileManager.default.fileExists(atPath: folder + "/config.json") else {
      throw refused(
        "is not a Hugging Face directory of floats: config.json and the tokenizer's files are needed",
        "name the original model, or put those files beside the GGUF")
    }
    if let other = try ModelDifference(between: self, and: ModelShapes(path: folder, carriesPrediction: false)) {
      throw refused(
        "and \(folder)/config.json are of different models: \(other.subject) is \(other.model) in the one and "
          + "\(other.config) by the other", "name the original model, or put its config.json beside the GGUF", .data)
    }
    return folder
  }
}

extension PlannedMix {
  /// Mixes of MLX: all of them without a group, and the named ones.
  static func mlx(and named: [String] = []) -> [PlannedMix] {
    let copies = named.filter { $0.uppercased() == "COPY" }.prefix(1).map { name in
      PlannedMix(name: name.uppercased()) { $0.tensors.map(\.type) }
    }
    return Set(MLXMix.names + named.filter { MLXMix(name: $0) != nil }).sorted().compactMap { name in
      MLXMix(name: name).map { mix in
        PlannedMix(name: name) { ($0 as? MLXSource).map(mix.types(for:)) ?? $0.tensors.map(\.type) }
      }
    } + copies
  }
}

extension ModelSource {
  /// Refuses an MLX directory as the source of a GGUF, which has none of its types.
  func refuseMLX() throws {
    guard self is MLXModel else { return }
    throw Failure(
      .data, "\(name): is quantized for MLX, in types that no GGUF has",
      hint: "quantize from the original model; drift, diff, inspect and verify read MLX directories")
  }

  /// The type of the output's form that a user's type means.
  ///
  /// - Throws: `Failure` for a type that the form lacks.
  func formed(_ type: GGMLType) throws -> GGMLType {
    guard let mlx = self as? MLXSource else {
      guard !type.isAffine else {
        throw Failure(
          .usage, "\(type): is a type of MLX, which no GGUF has", hint: "--format mlx writes an MLX directory")
      }
      return type
    }
    if let affine = type.affine { return affine.with(mlx.scales).type }
    guard [.f16, .bf16].contains(type) else {
      throw Failure(
        .usage, "\(type): \(type == .f32 ? "matrices of MLX have no more than 16 bits" : "MLX has no such type")",
        hint: "known: 2bit, 3bit, 4bit, 5bit, 6bit, 8bit with groups of 32, 64 "
          + "or 128 (4bit/64), and \(mlx.scales.type)")
    }
    return mlx.scales.type
  }
}

extension Progress {
  /// Notes the matrices of a model for MLX that stay float, since no group divides their rows.
  func noteFloats(in source: any ModelSource) {
    guard let floats = (source as? MLXSource)?.undivided, let first = floats.first else { return }
    note(
      "note: \(floats.count == 1 ? "1 tensor stays" : "\(floats.count) tensors stay") \(first.type), as groups of 32, 64 and "
        + "128 do not divide \(floats.count == 1 ? "its" : "their") rows: "
        + firstNames(of: floats.map { "\($0.name) (\($0.shape.columns) columns)" }))
  }
}

extension ModelSource {
  /// Refuses rules whose groups divide the rows of none of their tensors, and names the tensors that get smaller groups, or
  /// floats, in their place.
  func checkGroups(of rules: [TypeRule], option: String, _ progress: Progress) throws {
    guard let mlx = self as? MLXSource else { return }
    var found: [Int: [(tensor: TensorInfo, type: GGMLType)]] = [:]
    for tensor in mlx.tensors where tensor.isQuantizable {
      guard let index = rules.firstIndex(where: { $0.pattern.matches(tensor.name) }) else { continue }
      found[index, default: []].append((tensor, rules[index].type.fitting(columns: tensor.shape.columns)))
    }
    for (index, matches) in found.sorted(by: { $0.key < $1.key }) {
      let rule = rules[index]
      let name = "\(option) \(rule.pattern.text)=\(rule.type.menuName)"
      if let first = matches.first, rule.type.isAffine, matches.allSatisfy({ !$0.type.isAffine }) {
        throw Failure(
          .usage,
          "\(name): groups of 32, 64 and 128 do not divide the rows of \(first.tensor.name), which has "
            + "\(first.tensor.shape.columns) columns", hint: "leave the rule out: the tensor stays \(first.type)")
      }
      let others = Dictionary(grouping: matches.filter { $0.type != rule.type }, by: \.type)
      for (type, tensors) in others.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
        progress.note(
          "note: \(name): \(tensors.count == 1 ? "1 tensor gets" : "\(tensors.count) tensors get") \(type.menuName), as groups "
            + "of \(rule.type.affine?.group ?? 0) do not divide \(tensors.count == 1 ? "its" : "their") rows: "
            + firstNames(of: tensors.map(\.tensor.name)))
      }
    }
  }
}

extension Mix {
  /// The recipe of an MLX directory.
  func mlxRecipe(for source: MLXSource) throws -> Recipe {
    if case .preset(let preset) = choice {
      throw Failure(.usage, "--preset \(preset): is a mix of GGUF types", hint: "--type names MLX's mixes")
    }
    guard case .type(let name, let isPure) = choice else {
      preconditionFailure("the types of \(name) are fitted, or of a recipe")
    }
    guard !isPure || !name.lowercased().hasPrefix("mixed_") else {
      throw Failure(
        .usage, "--pure contradicts --type \(name), which has two types", hint: "leave --pure out, or name one type")
    }
    guard let mix = MLXMix(name: name) else {
      throw Failure(
        .usage, "--type \(name): MLX has no such mix",
        hint: "known: " + MLXMix.names.joined(separator: ", ") + ", with /32 or /128 for other groups than 64, and COPY"
      ).suggesting(name, among: MLXMix.names)
    }
    return Recipe(name: name, base: .types(mix.types(for: source)))
  }
}
