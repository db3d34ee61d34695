import Foundation
import GGUF
import Tensors

/// Programs that can open a file, derived from its types, architecture and number of shards before it is written.
public struct Compatibility: Sendable, Equatable {
  /// A program that opens GGUF files.
  public enum Program: String, Sendable, CaseIterable, Encodable {
    case llamaCpp = "llama.cpp"
    case ollama = "Ollama"
    case lmStudio = "LM Studio"
    case mlx = "MLX"
  }

  /// Whether a program opens the file.
  public struct Verdict: Sendable, Equatable, Encodable {
    /// The program.
    public let program: Program
    /// Whether it opens the file.
    public let opens: Bool
    /// The condition under which it opens the file, or the obstacle.
    public let reason: String
  }

  /// A verdict for each program.
  public let verdicts: [Verdict]
  /// The first build of llama.cpp that reads every type and the architecture; nil if none reads all of them.
  package let build: LlamaBuild?

  /// - Parameters:
  ///   - types: the types of all tensors.
  ///   - metadata: the model's metadata, for the architecture and its variant.
  ///   - files: the number of shards; 1 for a single file.
  public init(types: some Sequence<GGMLType>, metadata: Metadata, files: Int = 1) {
    let types = Set(types)
    let newest = types.compactMap(LlamaBuild.init(type:)).max()
    let architecture = metadata.optionalString("general.architecture") ?? "without a name"
    let ofArchitecture = LlamaBuild(
      architecture: architecture, isOldLatent: metadata["\(architecture).attention.key_length_mla"] == nil,
      gating: metadata.optionalInt("\(architecture).expert_gating_func"),
      isTempered: metadata["\(architecture).attention.temperature_scale"] != nil)
    build = ofArchitecture.map { first in max(first, newest ?? first) }
    var verdicts: [Verdict] = []
    if let build {
      verdicts.append(Verdict(program: .llamaCpp, opens: true, reason: "\(build.description) or later"))
    } else {
      verdicts.append(
        Verdict(
          program: .llamaCpp, opens: false,
          reason: "unknown: there is no record of the builds that read architecture \(architecture)"))
    }
    verdicts.append(
      Verdict(
        program: .ollama, opens: files == 1 && build != nil,
        reason: files > 1
          ? "takes no shards (\(files) files here): write one file, or merge them"
          : build == nil ? "unknown, as for llama.cpp" : "as one file, in a release whose llama.cpp is that new"))
    verdicts.append(
      Verdict(
        program: .lmStudio, opens: build != nil,
        reason: build == nil
          ? "unknown, as for llama.cpp" : "with a llama.cpp runtime that new; shards in one folder"))
    let foreign = types.filter { $0.isQuantized && !Self.mlxTypes.contains($0) }
      .sorted { $0.rawValue < $1.rawValue }
    verdicts.append(
      Verdict(
        program: .mlx, opens: foreign.isEmpty,
        reason: foreign.isEmpty
          ? "reads these types as they are"
          : "keeps only Q4_0, Q4_1 and Q8_0 of GGUF, and this has \(foreign.map(\.name).joined(separator: ", "))"))
    self.verdicts = verdicts
  }

  /// The verdict for a program.
  public subscript(program: Program) -> Verdict {
    guard let verdict = verdicts.first(where: { $0.program == program }) else { preconditionFailure() }
    return verdict
  }

  static let mlxTypes: Set<GGMLType> = [.q4_0, .q4_1, .q8_0]
}
