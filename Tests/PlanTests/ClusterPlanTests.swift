import GGUF
import Plan
import Tensors
import Testing

@Suite struct ClusterPlanTests {
  private typealias Stage = ClusterPlan.Stage

  private func plan(_ name: String, cores: Int = 64, bandwidth: Double = 2e9) throws -> ClusterPlan {
    var assumptions = ClusterPlan.Assumptions()
    assumptions.sharedBandwidth = bandwidth
    let source = try PlanSource(name)
    return try ClusterPlan(source.model, storedBytes: source.storedBytes, cores: cores, assumptions: assumptions)
  }

  /// `total_size` of the index of DeepSeek-R1's checkpoint is 688,586,727,753 bytes, of which the block for multi-token
  /// prediction, with an embedding and a head, takes two percent; Llama's is of BF16.
  @Test func checkpointsHaveTheirPublishedSizes() throws {
    let r1 = try PlanSource("DeepSeek-R1").storedBytes
    #expect(abs(Double(r1) / (0.98 * 688_586_727_753) - 1) < 0.005, "\(r1)")
    let llama = try PlanSource("Llama-3.1-405B").storedBytes
    #expect(abs(Double(llama) / (2 * 405_853_388_800) - 1) < 1e-3, "\(llama)")
  }

  /// 2 operations for each of 37 billion active weights and 402 billion weights beside the embedding.
  @Test(arguments: [("Llama-3.1-405B", 403.7e9), ("DeepSeek-R1", 37.5e9)])
  func passesFollowFromActiveWeights(name: String, active: Double) throws {
    let estimate = try plan(name).estimate(.importance, nodes: 4)
    let expected = 2 * active * 93_184 / (4 * 64 * 6e10)
    #expect(abs(estimate.computing / expected - 1) < 0.05, "\(estimate.computing) and \(expected)")
    #expect(estimate.parts == 4)
  }

  /// Every part of a pass reads the model; parts of an encoding divide it.
  @Test func readingsShareTheFileSystem() throws {
    let (plan, bytes) = (try plan("DeepSeek-R1"), try PlanSource("DeepSeek-R1").storedBytes)
    for stage in [Stage.importance, .drift] {
      let estimate = plan.estimate(stage, nodes: 8)
      #expect(estimate.bytesPerNode == bytes && estimate.reading == Double(8 * bytes) / 2e9)
    }
    let encoding = plan.estimate(.encoding, nodes: 8)
    #expect(encoding.bytesPerNode == bytes / 8 && encoding.reading == Double(bytes) / 2e9)
  }

  /// The useful number of nodes is the fastest, and more nodes than that take no less time.
  @Test(arguments: ["Llama-3.1-405B", "DeepSeek-R1", "Llama-3.3-70B"]) func moreNodesStopHelping(name: String) throws {
    let plan = try plan(name)
    for stage in Stage.allCases {
      let useful = plan.usefulNodes(stage)
      let time = plan.estimate(stage, nodes: useful).seconds
      for nodes in 1...200 { #expect(plan.estimate(stage, nodes: nodes).seconds > 0.98 * time, "\(stage) \(nodes)") }
      #expect(plan.estimate(stage, nodes: 4 * useful).seconds > 0.98 * time)
    }
    // Without a limit of the file system, a pass is divided on.
    #expect(try self.plan(name, bandwidth: 1e15).usefulNodes(.importance) > 4 * plan.usefulNodes(.importance))
  }

  /// Without kept states, the last part has the whole exact pass before it, and there are no more parts than layers.
  @Test func feedbackAloneIsBoundByTheExactPass() throws {
    let plan = try plan("Llama-3.1-405B", bandwidth: 1e15)
    let one = plan.estimate(.feedbackAlone, nodes: 1)
    let pass = plan.estimate(.importance, nodes: 1).computing
    #expect(one.parts == 1 && one.computing > 3 * pass)
    let many = plan.estimate(.feedbackAlone, nodes: 1000)
    #expect(many.parts == 126)
    #expect(many.computing > 125 / 126.0 * pass && many.computing < pass + one.computing / 100)
    #expect(many.bytesPerNode > plan.estimate(.importance, nodes: 1).bytesPerNode)
  }

  /// With kept states, the layers are divided: 126 layers in 8 parts are at most 16, in 64 parts at most 2.
  @Test func feedbackWithKeptStatesIsDivided() throws {
    let plan = try plan("Llama-3.1-405B", bandwidth: 1e15)
    let one = plan.estimate(.feedback, nodes: 1)
    #expect(one == plan.estimate(.feedbackAlone, nodes: 1))
    for (nodes, layers) in [(8, 16.0), (64, 2), (1000, 1)] {
      let estimate = plan.estimate(.feedback, nodes: nodes)
      #expect(abs(estimate.computing / (one.computing * layers / 126) - 1) < 1e-9)
    }
    // 93,184 tokens of 16,384 columns.
    #expect(plan.stateBytes == 93_184 * 16_384 * 4)
    #expect(plan.keptBytes(parts: 8) == 7 * plan.stateBytes && plan.keptBytes(parts: 1) == 0)
    let stored = try PlanSource("Llama-3.1-405B").storedBytes
    let many = plan.estimate(.feedback, nodes: 8)
    #expect(many.bytesPerNode == 2 * stored / 8 + plan.stateBytes)
    #expect(abs(many.reading * 1e15 / Double(2 * stored + 14 * plan.stateBytes) - 1) < 1e-9)
  }
}
