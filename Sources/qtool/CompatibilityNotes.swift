import Plan
import Quantize

extension RewritePlan {
  /// What opens the file, or the shards, that are about to be written.
  var compatibility: Compatibility {
    Compatibility(types: layout.tensors.map(\.type), metadata: source.metadata, files: shards.layouts.count)
  }
}

extension Compatibility.Verdict {
  var line: String { "\(program.rawValue): \(opens ? "" : "no: ")\(reason)" }
}
