import Fit
import GGUF
import Imatrix
import Quantize
import Tensors

/// A file that a run of `quantize` makes, before its types are known.
struct QuantizedFile {
  let mix: Mix
  let destination: OutputOptions?
  /// Maximum size, for fitted mixes.
  let target: ByteSize?
  let workspace: Workspace?
  /// Whether every tensor is copied.
  var isCopy = false
  /// The text of error feedback; nil without.
  var feedback: FitFeedback?
  var importance = ImportanceInput(.nothing)
  /// The choice of types, for fitted mixes.
  var job: FitJob?

  init(_ mix: Mix, _ destination: OutputOptions?, target: ByteSize?, _ source: any ModelSource) {
    self.mix = mix
    self.destination = destination
    self.target = target
    workspace = destination.map { Workspace(output: $0.output, model: source.name, restart: $0.restart) }
  }
}

/// A file whose types are known.
struct PlannedFile {
  let file: QuantizedFile
  let plan: RewritePlan
  let matrix: ImportanceMatrix?
  var report: FitReport?
  /// Whether the pass of error feedback computes the importance.
  var measuresImportance = false
}

/// The origin of the importance of some files of a run.
struct ImportanceNeed: Hashable {
  let isWanted: Bool
  let canRun: Bool
  let isUseless: Bool
}

extension Metadata {
  /// The model's name by GGUF's convention, without encoding and type: `Mixtral-8x7B-Instruct-v0.1`.
  var conventionalName: String {
    let parts = ["basename", "size_label", "finetune", "version"].map { optionalString("general.\($0)") ?? "" }
    let known = parts.filter { !$0.isEmpty }
    let name = parts[0].isEmpty ? optionalString("general.name") ?? "model" : known.joined(separator: "-")
    return name.split { !$0.isLetter && !$0.isNumber && !"._-".contains($0) }.joined(separator: "-")
  }
}
