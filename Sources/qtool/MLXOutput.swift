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
    func refused(_ reason: String, _ hint: String) -> Failure {
      Failure(.usage, "--format mlx: \(name) \(reason)", hint: hint)
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
    let shapes = try ModelShapes(path: folder)
    for tensor in shapes.tensors + tensors {
      guard
        let (a, b) = (shapes.tensor(named: tensor.name), self.tensor(named: tensor.name)) as? (TensorInfo, TensorInfo),
        a.shape == b.shape
      else {
        throw refused(
          "and \(folder)/config.json are of different models: they differ in tensor \(tensor.name)",
          "name the original model")
      }
    }
    return folder
  }
}

extension PlannedMix {
  /// Mixes of MLX: all of them without a group, and the named ones.
  static func mlx(and named: [String] = []) -> [PlannedMix] {
    Set(MLXMix.names + named.filter { MLXMix(name: $0) != nil }).sorted().compactMap { name in
      MLXMix(name: name).map { mix in
        PlannedMix(name: name) { ($0 as? MLXSource).map(mix.types(for:)) ?? $0.tensors.map(\.type) }
      }
    }
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
    guard [.f16, .bf16, .f32].contains(type) else {
      throw Failure(
        .usage, "\(type): MLX has no such type",
        hint: "known: 2bit, 3bit, 4bit, 5bit, 6bit, 8bit with groups of 32, 64 "
          + "or 128 (4bit/64), and \(mlx.scales.type)")
    }
    return mlx.scales.type
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
