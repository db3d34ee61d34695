import Plan
import Quantize

extension RewritePlan {
  /// What opens the file that is about to be written.
  var compatibility: Compatibility {
    Compatibility(types: layout.tensors.map(\.type), metadata: source.metadata)
  }
}

extension Compatibility.Verdict {
  var line: String { "\(program.rawValue): \(opens ? "" : "no: ")\(reason)" }
}
