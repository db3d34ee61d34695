import ArgumentParser
import Plan

/// Nodes and their cores: `8x64`.
struct ClusterSize: ExpressibleByArgument, Equatable {
  let nodes: Int
  let cores: Int

  init?(argument: String) {
    let fields = argument.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard fields.count == 2, let nodes = fields[0], let cores = fields[1], (1...100_000).contains(nodes),
      (1...4096).contains(cores)
    else { return nil }
    (self.nodes, self.cores) = (nodes, cores)
  }
}

/// The table of a run in parts.
struct ClusterReport {
  let name: String
  let plan: ClusterPlan
  let size: ClusterSize

  /// Powers of two up to the nodes of the cluster, and these.
  private var counts: [Int] {
    var counts: [Int] = []
    var count = 1
    while count < size.nodes {
      counts.append(count)
      count *= 2
    }
    return counts + [size.nodes]
  }

  var text: String {
    var table = Table([
      ("nodes", .right), ("stage", .left), ("parts", .right), ("read per node", .right), ("reading", .right),
      ("computing", .right), ("time", .right), ("bound by", .left),
    ])
    for nodes in counts {
      for stage in ClusterPlan.Stage.allCases {
        let estimate = plan.estimate(stage, nodes: nodes)
        table.add([
          "\(nodes)", stage.rawValue, "\(estimate.parts)", Figures.bytes(estimate.bytesPerNode),
          Figures.duration(estimate.reading), Figures.duration(estimate.computing), Figures.duration(estimate.seconds),
          estimate.isSaturated ? "file system" : "cores",
        ])
      }
    }
    let useful = ClusterPlan.Stage.allCases.map { "\($0.rawValue) \(plan.usefulNodes($0))" }.joined(separator: ", ")
    let assumed = plan.assumptions
    return """
      \(name) on nodes of \(size.cores) cores

      \(table.rendered())

      More nodes than these do not help: \(useful).
      Feedback begins with hidden states that imatrix keeps on the file system: \(Figures.bytes(plan.stateBytes)) for each \
      part but the first, \(Figures.bytes(plan.keptBytes(parts: size.nodes))) for \(size.nodes) \
      \(size.nodes == 1 ? "node" : "nodes").
      Assumed: \(Figures.bytes(Int(assumed.sharedBandwidth)))/s of the file system for all nodes together, \
      \(Figures.significant(assumed.operationsPerCore / 1e9, 3)) GFLOP/s per core, \
      \(Figures.significant(assumed.encodingSeconds * 1e6, 2)) µs per weight (\(Figures.significant(assumed.feedbackSeconds * 1e6, 2)) with feedback), \
      \(Figures.grouped(assumed.importanceTokens)) tokens for importance, \(Figures.grouped(assumed.driftTokens)) for drift.
      """
  }
}
