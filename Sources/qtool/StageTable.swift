import Fit

extension [StageEstimate] {
  /// The stages of a fit, the input of each, and its estimated time on this machine.
  var table: String {
    var table = Table([("stage", .left), ("reads", .left), ("estimated time", .right)])
    for stage in self {
      table.add([stage.stage.rawValue, stage.reads, (stage.isBound ? "up to " : "") + Figures.duration(stage.seconds)])
    }
    table.add(["sum", "", Figures.duration(reduce(0) { $0 + $1.seconds })])
    return table.rendered()
  }
}

extension StageEstimate {
  fileprivate var reads: String {
    let weights = "\(Figures.bytes(bytes)) of weights"
    return tokens == 0 ? weights : "\(Figures.grouped(tokens)) tokens, \(weights)"
  }
}
