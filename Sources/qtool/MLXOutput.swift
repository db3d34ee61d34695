import ArgumentParser
import Checkpoint
import GGUF
import MLX
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
    guard let checkpoint = whole as? CheckpointDirectory else {
      throw Failure(
        .usage, "--format mlx: \(whole.name) is not a Hugging Face directory of floats",
        hint:
          "rows of queries and keys have another order in a GGUF, and config.json and the tokenizer's files are needed: "
          + "name the original model")
    }
    guard !prunes else {
      throw Failure(.usage, "--format mlx: --prune-layers is not possible: config.json describes the whole model")
    }
    return try MLXSource(checkpoint, reading: source, version: QTool.version)
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
    guard case .type(let name, _) = choice else {
      preconditionFailure("the types of \(name) are fitted, or of a recipe")
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
