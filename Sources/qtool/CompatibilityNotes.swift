import Plan
import Quantize

extension RewritePlan {
  /// Programs that can open the file or shards of this plan.
  var compatibility: Compatibility {
    Compatibility(types: layout.tensors.map(\.type), metadata: source.metadata, files: shards.layouts.count)
  }
}

extension Compatibility.Verdict {
  var line: String { "\(program.rawValue): \(opens ? "" : "no: ")\(reason)" }
}
