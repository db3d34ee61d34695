import Fit

extension [StageEstimate] {
  /// The stages of a fit, the input of each, and its estimated time on this machine.
  var table: String {
    var table = Table([("stage", .left), ("reads", .left), ("estimated time", .right)])
    for stage in self {
      table.add([stage.stage.rawValue, stage.reads, (stage.isBound ? "up to " : "") + Figures.duration(stage.seconds)])
    }
    table.add(["sum", "", Figures.duration(reduce(0) { $0 + $1.seconds })])
    let feedback = compactMap(\.feedback).first.map {
      "\nfeedback: up to \(Figures.bytes($0.residentBytes)) of memory; --no-feedback encodes in "
        + "\(Figures.duration($0.secondsWithout)) with up to \(Figures.bytes($0.residentBytesWithout))"
    }
    return table.rendered() + (feedback ?? "")
  }
}

extension StageEstimate {
  fileprivate var reads: String {
    let weights = "\(Figures.bytes(bytes)) of weights"
    if let feedback {
      return "\(Figures.grouped(tokens)) tokens\(feedback.streams > 1 ? " in \(feedback.streams) streams" : ""), "
        + "\(weights) twice"
    }
    return tokens == 0 ? weights : "\(Figures.grouped(tokens)) tokens, \(weights)"
  }
}
